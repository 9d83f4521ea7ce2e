-- Settings of a rescue's transaction. The front of a queue is read in index order, whatever the statistics: a plan for
-- few rows would sort millions. The timeouts limit every rescue.
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_sort = off;
SET LOCAL jit = off;
SET LOCAL statement_timeout = '30s';
SET LOCAL lock_timeout = '5s';
