-- Settings of the connection that records outcomes: durable, bounded, planned once.
SET statement_timeout = '10s';
SET lock_timeout = '5s';
SET plan_cache_mode = force_generic_plan;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET jit = off;
