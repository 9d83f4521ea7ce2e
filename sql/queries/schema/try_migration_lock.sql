-- One lock per set, named after its record ($1). Held by the migrator's session.
SELECT pg_try_advisory_lock(hashtextextended('migrate ' || $1, 0))
