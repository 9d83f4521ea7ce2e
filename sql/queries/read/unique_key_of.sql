-- The unique key of a finished job.
SELECT postrider.readable(unique_key) AS unique_key FROM postrider.job_history WHERE id = $1 AND unique_key IS NOT NULL
