-- As enqueue, with a unique key ($9). Not in the same statement: a result of two columns makes it take a fifth longer.
SELECT ARRAY[id] AS ids, ARRAY[outcome] AS outcomes
FROM postrider.add_unique_job($1, $2::jsonb, $3, $4, coalesce($5::timestamptz, now() + make_interval(secs => $6)), $7, $9, $8)
