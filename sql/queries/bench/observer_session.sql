-- Settings of the observing connection. It must use an index even with stale statistics, so that observing costs next
-- to nothing.
SET enable_seqscan = off;
SET jit = off;
