INSERT INTO postrider.worker (id, lock_key, server_started_at, lease_ms, pid, host, version, queues)
VALUES ($1, $2, CASE WHEN $3 THEN pg_postmaster_start_time() END, $4, $5, $6, $7, $8)
