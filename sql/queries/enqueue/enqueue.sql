-- Adds one job, like postrider.enqueue. $6: delay in seconds from the database's now(), used if run_at ($5) is null.
SELECT postrider.add_job($1, $2, $3, $4, coalesce($5, now() + make_interval(secs => $6)), $7, $8)
