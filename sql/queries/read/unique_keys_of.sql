-- Finished jobs among $1 that had a unique key, with the key.
SELECT id, postrider.readable(unique_key) AS unique_key FROM postrider.job_history
WHERE id = ANY ($1::bigint[]) AND unique_key IS NOT NULL
