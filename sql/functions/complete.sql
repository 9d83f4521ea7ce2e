-- Plans made while the table is empty or small stay in a session. Without a sequential scan, they serve a large one, too.
CREATE FUNCTION postrider.complete(id bigint, claim integer, worker uuid, retention_seconds bigint, output jsonb DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    WITH finished AS (
        DELETE FROM postrider.job AS j
        WHERE j.id = $1 AND j.claim = $2 AND j.attempted_by = $3 AND j.running
        RETURNING j.id, j.run_at, j.created_at, j.attempted_at, j.attempted_by, j.claim, j.attempt, j.max_attempts,
                  j.priority, j.crash_count, j.queue, j.kind, j.args, j.errors, j.unique_key, j.options, j.group_key,
                  j.flow, j.awaited
    )
    INSERT INTO postrider.job_history (
        id, run_at, created_at, attempted_at, finished_at, attempted_by, expires_on, claim, attempt, max_attempts,
        priority, crash_count, state, queue, kind, args, errors, unique_key,
        options, group_key, flow, output)
    SELECT id, run_at, created_at, attempted_at, now(), attempted_by, postrider.expires_on($4), claim, attempt,
           max_attempts, priority, crash_count, 'completed', queue, kind, args, errors, unique_key,
           options, group_key, flow, $5
    FROM finished
    WHERE awaited IS NULL OR postrider.notify_finished(id);
    IF FOUND THEN
        RETURN 'completed';
    END IF;
    -- A second call of the same attempt finds the job completed by the first.
    IF EXISTS (SELECT FROM postrider.job_history
               WHERE id = $1 AND claim = $2 AND attempted_by = $3 AND state = 'completed') THEN
        RETURN 'completed';
    END IF;
    RETURN 'stale';
END
$$;
COMMENT ON FUNCTION postrider.complete IS
    'Internal. Completes a job in its handler''s transaction, if its fence (id, claim, worker) holds, and returns completed. Returns stale if the job belongs to another attempt: the transaction must be rolled back.';
