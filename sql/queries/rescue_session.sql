-- Settings of the transaction that rescues: the front of a queue is read in the order of its index, whatever
-- the statistics say. Planned for few rows, millions of them would be sorted.
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_sort = off;
SET LOCAL jit = off;
