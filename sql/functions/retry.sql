CREATE FUNCTION postrider.retry(id bigint, only_failed boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    the_queue   text;
    the_run_at  timestamptz;
    is_finished boolean;
    is_running  boolean;
    has_failed  boolean;
    the_key     text;
    refused_by  text;
BEGIN
    -- Between two statements, the job may start, finish or return.
    FOR try IN 1..5 LOOP
        UPDATE postrider.job AS j SET run_at = least(j.run_at, now()), cancel_requested_at = NULL
        WHERE j.id = $1 AND NOT j.running AND (NOT $2 OR j.failed_at IS NOT NULL)
        RETURNING j.queue, j.run_at INTO the_queue, the_run_at;
        IF FOUND THEN
            PERFORM postrider.announce_return(the_queue, the_run_at);
            RETURN 'retried';
        END IF;
        SELECT * INTO is_finished, is_running, has_failed, the_key FROM (
            SELECT false, j.running, j.failed_at IS NOT NULL, NULL FROM postrider.job AS j WHERE j.id = $1
            UNION ALL
            SELECT true, false, h.state = 'discarded', h.unique_key FROM postrider.job_history AS h WHERE h.id = $1
        ) AS found LIMIT 1;
        CASE
            WHEN NOT FOUND THEN
                RETURN 'not_found';
            WHEN is_running THEN
                RETURN 'running';
            WHEN $2 AND NOT has_failed THEN
                RETURN 'not_failed';
            WHEN is_finished AND the_key IS NULL THEN
                IF postrider.requeue($1, $2) THEN
                    RETURN 'retried';
                END IF;
            WHEN is_finished THEN
                -- A subtransaction, so that a key that is taken does not fail the caller's transaction.
                BEGIN
                    IF postrider.requeue($1, $2) THEN
                        RETURN 'retried';
                    END IF;
                EXCEPTION WHEN unique_violation THEN
                    GET STACKED DIAGNOSTICS refused_by = CONSTRAINT_NAME;
                    IF refused_by = 'job_unique_key' THEN
                        RETURN 'key_taken';
                    END IF;
                    RAISE;
                END;
            ELSE
                -- It waits since a moment ago.
        END CASE;
    END LOOP;
    RAISE EXCEPTION 'job % changes its state again and again', $1 USING ERRCODE = 'serialization_failure';
END
$$;
COMMENT ON FUNCTION postrider.retry IS
    'Makes a waiting job due now, or moves a finished one back to its queue with its attempts reset. With only_failed, only if its latest finished attempt failed. Returns retried, running, not_failed, key_taken (another unfinished job has its unique_key) or not_found.';
