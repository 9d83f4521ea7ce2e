-- Settings of the connection that looks on: it must find what it looks for through an index, however
-- stale the statistics are, so that looking costs next to nothing.
SET enable_seqscan = off;
SET jit = off;
