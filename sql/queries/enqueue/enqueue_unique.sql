-- As enqueue, with a unique key ($9). Not in the same statement: a result of two columns makes it take a fifth longer.
SELECT ARRAY[id] AS ids, ARRAY[outcome] AS outcomes
FROM postrider.add_unique_job($1::text, $2::text::jsonb, $3::text, $4::integer,
                              coalesce($5::text::timestamptz, now() + make_interval(secs => $6::float8)), $7::integer,
                              $9::text, $8::text::boolean)
