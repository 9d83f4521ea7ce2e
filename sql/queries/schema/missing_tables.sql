-- Of tables and views ($1), returns those that do not exist.
SELECT t.name FROM unnest($1::text[]) AS t (name) WHERE to_regclass(t.name) IS NULL
