-- Settings of the connection that claims.
--
-- A claim that is lost in a crash of the database is only a job still waiting (the running copy is
-- fenced off), so it need not wait for the flush. The plan must not depend on statistics, which
-- are stale on a table that swings from nothing to millions: one generic plan, without the nodes
-- that would read or sort more than the first rows.
SET synchronous_commit = off;
SET statement_timeout = '5s';
SET lock_timeout = '2s';
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET jit = off;
