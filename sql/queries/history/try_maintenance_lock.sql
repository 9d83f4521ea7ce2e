-- One worker at a time runs a maintenance task. The lock ends with the connection.
SELECT pg_try_advisory_lock(hashtextextended('postrider.maintenance.' || $1, 0))
