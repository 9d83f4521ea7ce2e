CREATE FUNCTION postrider.cancel(id bigint) RETURNS text
LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    is_running  boolean;
    retention   bigint;
BEGIN
    -- Between two statements, the job may start, finish or return.
    FOR try IN 1..5 LOOP
        SELECT j.running INTO is_running FROM postrider.job AS j WHERE j.id = $1;
        IF NOT FOUND THEN
            IF EXISTS (SELECT FROM postrider.job_history AS h WHERE h.id = $1) THEN
                RETURN 'finished';
            END IF;
            -- One snapshot for both tables: the job may just have returned from the history.
            IF NOT EXISTS (SELECT FROM postrider.job AS j WHERE j.id = $1
                           UNION ALL SELECT FROM postrider.job_history AS h WHERE h.id = $1) THEN
                RETURN 'not_found';
            END IF;
        ELSIF is_running THEN
            UPDATE postrider.job AS j SET cancel_requested_at = coalesce(j.cancel_requested_at, now())
            WHERE j.id = $1 AND j.running;
            IF FOUND THEN
                PERFORM postrider.notify('cancel');
                RETURN 'cancel_requested';
            END IF;
        ELSE
            -- That of the most recently started worker of the queue, else 24 h.
            retention := coalesce((
                SELECT greatest(least(w.cancelled_seconds, 31536000), 0)
                FROM postrider.job AS j JOIN postrider.worker AS w ON j.queue = ANY (w.queues)
                WHERE j.id = $1 AND w.cancelled_seconds IS NOT NULL
                ORDER BY w.started_at DESC LIMIT 1), 86400);
            -- If no worker has run for a while, the history may lack the partition.
            PERFORM postrider.make_history_partition(postrider.expires_on(retention));
            WITH cancelled AS (
                DELETE FROM postrider.job AS j WHERE j.id = $1 AND NOT j.running RETURNING j.*
            )
            INSERT INTO postrider.job_history (
                id, run_at, created_at, attempted_at, finished_at, attempted_by, expires_on, claim, attempt, max_attempts,
                priority, crash_count, state, queue, kind, args, errors, unique_key,
                options, group_key, flow)
            SELECT id, run_at, created_at, attempted_at, now(), attempted_by, postrider.expires_on(retention), claim,
                   attempt, max_attempts, priority, crash_count, 'cancelled', queue, kind, args, errors, unique_key,
                   options, group_key, flow
            FROM cancelled
            WHERE awaited IS NULL OR postrider.notify_finished(id);
            IF FOUND THEN
                RETURN 'cancelled';
            END IF;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'job % changes its state again and again', $1 USING ERRCODE = 'serialization_failure';
END
$$;
COMMENT ON FUNCTION postrider.cancel IS
    'Cancels a waiting job, or asks the worker of a running one to stop it. Returns cancelled, cancel_requested, finished (nothing was changed) or not_found. Keeps a cancelled job as long as the most recently started worker of its queue does, or 24 h.';
