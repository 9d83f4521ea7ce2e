-- Sets timeouts in milliseconds. For the session, because refinery begins and ends the transactions.
--
-- The search path is only public. Otherwise a role named like a schema (such as postrider) would create its tables in
-- that schema, and the migration record would be read from one schema before the first migration and from another one
-- after it.
SELECT set_config('lock_timeout', $1, false), set_config('statement_timeout', $2, false),
       set_config('search_path', 'public', false)
