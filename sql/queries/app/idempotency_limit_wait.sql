-- How long, in this transaction, a request waits for another one with the same key; $1 e.g. '10s'.
SELECT set_config('lock_timeout', $1, true)
