-- Settings of the connection that records outcomes: durable, bounded, planned once.
--
-- The jobs of a batch are found by `id = ANY (…)`, an index scan in the order of the ids whatever the
-- statistics say, and joined with their outcomes by a hash. A nested loop planned for an empty table
-- would read the whole of a full one for each batch.
SET statement_timeout = '10s';
SET lock_timeout = '2s';
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_nestloop = off;
SET enable_mergejoin = off;
SET jit = off;
