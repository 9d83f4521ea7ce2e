-- Returns the version in the comment on a set's migration record ($1). Schema-only dumps contain it.
SELECT substring(obj_description(to_regclass($1), 'pg_class') FROM 'version ([0-9]{1,9})')::integer
