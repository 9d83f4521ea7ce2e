-- Returns the other workers. A free liveness lock indicates death, if this is the server on which the worker acquired
-- it. Probes use the shared form, so that they do not disturb each other.
SELECT id, heartbeat_at, lease_ms,
       coalesce(server_started_at = pg_postmaster_start_time(), false)
           AND pg_try_advisory_xact_lock_shared(lock_key) AS lock_is_free
FROM postrider.worker
WHERE id <> $1
