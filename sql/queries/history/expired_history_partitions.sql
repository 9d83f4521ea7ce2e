-- Partitions whose day is over. attached is false after a detach. detaching is true if a detach was interrupted.
SELECT c.relname::text AS name, i.inhparent IS NOT NULL AS attached, coalesce(i.inhdetachpending, false) AS detaching
FROM pg_class AS c
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid AND i.inhparent = 'postrider.job_history'::regclass
WHERE c.relnamespace = 'postrider'::regnamespace
  AND c.relkind = 'r'
  AND c.relname ~ '^job_history_[0-9]{8}$'
  AND c.relname < 'job_history_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
ORDER BY c.relname
