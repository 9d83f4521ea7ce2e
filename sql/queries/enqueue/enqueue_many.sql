-- Adds many jobs in one statement. Due times as in enqueue.sql: $5 is absolute, else $6 is seconds from now.
SELECT ids, outcomes
FROM postrider.enqueue_many($1::text[], $2::text[]::jsonb[], $3::text[], $4::integer[], $5::text[]::timestamptz[],
                            $7::integer[], $8::text[], $6::float8[])
