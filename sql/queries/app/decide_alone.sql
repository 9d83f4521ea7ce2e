-- One at a time decides about the fate of orphans: who brings a tablo back, who stamps, who marks.
SELECT pg_advisory_xact_lock(hashtextextended('tablo_files: fate of orphans', 0))
