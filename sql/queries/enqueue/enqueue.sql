-- Adds one job without a unique key: it is always inserted. $6: delay in seconds from the database's now(), used if run_at
-- ($5) is null. The casts are for drivers that send JSON and times as text; each further one costs a microsecond.
SELECT postrider.add_job($1, $2::jsonb, $3, $4, coalesce($5::timestamptz, now() + make_interval(secs => $6)), $7, $8) AS id
