-- Renews a lease; $2 tells whether the worker holds its session lock. No row means that the
-- worker was given up. The notification to itself proves that its listener still hears, at the
-- price of no further transaction.
UPDATE postrider.worker
SET heartbeat_at = clock_timestamp(),
    server_started_at = CASE WHEN $2 THEN pg_postmaster_start_time() END
WHERE id = $1
RETURNING heartbeat_at, pg_notify($3, $4)
