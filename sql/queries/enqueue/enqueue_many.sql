-- Adds many jobs in one statement. Due times as in enqueue.sql: $5 is absolute, else $6 is seconds from now. A job without
-- a time or a key has an empty one: not every driver can send an array with nulls in it.
SELECT ids, outcomes
FROM postrider.enqueue_many($1::text[], $2::text[]::jsonb[], $3::text[], $4::integer[],
                            array_replace($5::text[], '', NULL)::timestamptz[], $7::integer[],
                            array_replace($8::text[], '', NULL), $6::float8[])
