-- Serializes the transactions that restore, stamp or mark orphans.
SELECT pg_advisory_xact_lock(hashtextextended('tablo_files: fate of orphans', 0))
