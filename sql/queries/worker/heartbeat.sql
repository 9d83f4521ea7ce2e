-- Renews a lease. $2: whether the worker holds its liveness lock. Returns no row if the worker was declared dead. The
-- ping to itself proves that its listener receives notifications, without another transaction. No ping is sent while
-- the notification queue is nearly full, because the heartbeat would fail, too.
UPDATE postrider.worker
SET heartbeat_at = clock_timestamp(),
    server_started_at = CASE WHEN $2 THEN pg_postmaster_start_time() END
WHERE id = $1
RETURNING pg_postmaster_start_time() AS server_started_at,
          CASE WHEN pg_notification_queue_usage() < 0.9 THEN pg_notify($3, $4) IS NOT NULL ELSE false END AS is_pinged
