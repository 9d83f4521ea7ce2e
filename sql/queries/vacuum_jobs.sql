-- Goes away where another vacuum, or a change of the table, holds its lock. Never truncates: that
-- needs an exclusive lock, and the pages are needed again anyway.
VACUUM (SKIP_LOCKED, TRUNCATE off) postrider.job
