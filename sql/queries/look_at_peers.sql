-- How the other workers are: a free session lock on the server that the worker took it on is a
-- sign of death. Probed with the shared form, so that those who look do not disturb each other.
SELECT id, heartbeat_at, lease_ms,
       coalesce(server_started_at = pg_postmaster_start_time(), false)
           AND pg_try_advisory_xact_lock_shared(lock_key) AS lock_is_free
FROM postrider.worker
WHERE id <> $1
