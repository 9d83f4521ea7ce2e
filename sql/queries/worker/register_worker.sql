-- Inserts a lease. The liveness lock is acquired later and reported with a heartbeat. A worker that was declared dead
-- registers again with its former start time ($11).
INSERT INTO postrider.worker (
    id, lock_key, lease_ms, pid, host, version, queues, concurrency, declares, cancelled_seconds, started_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, now()))
RETURNING started_at
