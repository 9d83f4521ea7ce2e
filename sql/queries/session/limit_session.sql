-- Sets timeouts for the session: statements ($1) and lock waits ($2).
SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false)
