-- Skips a table that another vacuum or a schema change has locked. Never truncates: truncation takes an exclusive lock,
-- and the table soon needs the pages again.
VACUUM (SKIP_LOCKED, TRUNCATE off) postrider.job
