-- The clock that decides about jobs, as of this transaction.
SELECT now()
