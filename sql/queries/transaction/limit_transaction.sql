-- Sets timeouts for the rest of the transaction: statements ($1), lock waits ($2) and idle time, because our process
-- may be frozen while it holds locks.
SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
       set_config('idle_in_transaction_session_timeout', '60000', true)
