-- For the rest of the transaction: no statement and no wait for a lock is without a limit.
SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', '5s', true)
