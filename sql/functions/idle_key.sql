-- The idle lock. An idle worker holds a session advisory lock exclusively: (hashtext('postrider'), idle_key(queue)), so
-- that each schema has its own. An enqueue tries to acquire its shared form:
-- - not granted: a worker is idle, so the enqueue sends a notification.
-- - granted: no worker is idle, so it sends none. It holds the shared lock until commit, so a worker that acquires the
--   exclusive lock later and then polls once cannot miss the job.
--
-- Unneeded notifications are expensive: a commit with a NOTIFY holds a cluster-wide lock during its flush, which ends
-- group commit. With 32 connections, enqueueing is four times slower.
CREATE FUNCTION postrider.idle_key(queue text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- Few keys, so that a transaction with jobs for many queues cannot fill the lock table.
    SELECT hashtext($1) & 127
$$;
COMMENT ON FUNCTION postrider.idle_key IS
    'Internal. Second key of the idle lock. Queues with the same key sometimes wake each other''s workers.';
