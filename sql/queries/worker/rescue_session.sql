-- Settings of a rescue's transaction. The front of a queue is read in index order, whatever the statistics: a plan for
-- few rows would sort millions.
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_sort = off;
SET LOCAL jit = off;
