-- One lock for all sets of a database, held by the session of the migrator.
SELECT pg_try_advisory_lock(hashtextextended('postrider.migrate', 0))
