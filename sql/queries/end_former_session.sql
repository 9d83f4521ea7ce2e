-- Ends this worker's former session that still holds its life lock ($1): one that was cut off, and whose
-- server does not know. Others take the lock in its shared form only.
SELECT pg_terminate_backend(pid)
FROM pg_locks
WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32) | objid::bigint = $1 AND objsubid = 1
  AND pid <> pg_backend_pid()
