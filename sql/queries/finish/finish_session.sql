-- Settings of the connection that records outcomes: durable commits, timeouts, one generic plan.
--
-- `id = ANY (...)` finds the jobs of a batch with an index scan in id order, whatever the statistics. A hash join adds
-- their outcomes. A nested loop planned for an empty table would read the whole of a full one for each batch.
SET statement_timeout = '10s';
SET lock_timeout = '2s';
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_nestloop = off;
SET enable_mergejoin = off;
SET jit = off;
