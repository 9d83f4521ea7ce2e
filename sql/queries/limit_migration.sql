-- Limits in milliseconds. For the session: refinery begins and ends the transactions.
--
-- The search path is public alone: a role named like a schema (postrider, say) would otherwise have
-- its tables made there, and the migrations' own table would be looked for in one place before the
-- first migration and in another after it.
SELECT set_config('lock_timeout', $1, false), set_config('statement_timeout', $2, false),
       set_config('search_path', 'public', false)
