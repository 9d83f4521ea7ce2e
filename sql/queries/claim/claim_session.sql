-- Settings of the connection that claims.
--
-- The commit does not wait for the flush: a claim lost in a database crash only leaves the job waiting and its running
-- attempt fenced off. The plan must not depend on statistics, which are stale on a table that varies between zero and
-- millions of rows: one generic plan, without nodes that would read or sort more than the first rows.
SET synchronous_commit = off;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET jit = off;
