-- Inserts a lease. The liveness lock is acquired later and reported with a heartbeat. A worker that was declared dead
-- registers again with its former start time ($10).
INSERT INTO postrider.worker (id, lock_key, lease_ms, pid, host, version, queues, declares, cancelled_seconds, started_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, now()))
RETURNING started_at
