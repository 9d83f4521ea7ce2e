-- Terminates this worker's former session if it still holds the liveness lock ($1): its connection was lost, and the
-- server has not noticed. Peers acquire only the shared form of the lock.
SELECT pg_terminate_backend(pid)
FROM pg_locks
WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32) | objid::bigint = $1 AND objsubid = 1
  AND pid <> pg_backend_pid()
