-- One worker at a time does a task of upkeep; the lock ends with its connection.
SELECT pg_try_advisory_lock(hashtextextended('postrider.upkeep.' || $1, 0))
