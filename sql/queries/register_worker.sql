-- A new lease. The session lock is taken after this, and told with a heartbeat.
INSERT INTO postrider.worker (id, lock_key, lease_ms, pid, host, version, queues)
VALUES ($1, $2, $3, $4, $5, $6, $7)
