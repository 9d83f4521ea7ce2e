-- Settings of the connection that records outcomes: durable commits, one generic plan.
--
-- The database or the role may have turned synchronous_commit off: a crash would then undo recorded outcomes, and a job
-- that has finished would run again. Stronger settings stay.
--
-- `id = ANY (...)` finds the jobs of a batch with an index scan in id order, whatever the statistics. A hash join adds
-- their outcomes. A nested loop planned for an empty table would read the whole of a full one for each batch.
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_nestloop = off;
SET enable_mergejoin = off;
SET jit = off;
