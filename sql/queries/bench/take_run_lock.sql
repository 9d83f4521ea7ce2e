-- Held until the session ends. Marks the run as alive.
SELECT pg_try_advisory_lock($1)
