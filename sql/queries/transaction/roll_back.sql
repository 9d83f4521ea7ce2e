-- For a transaction that only read, or failed.
ROLLBACK
