-- The claim number is kept, so that former attempts stay fenced off. The settings are for plans that were made while the
-- tables were small, as in complete.
CREATE FUNCTION postrider.requeue(id bigint, only_failed boolean) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    the_queue  text;
    the_run_at timestamptz;
BEGIN
    WITH taken AS (
        DELETE FROM postrider.job_history WHERE id = $1 AND (NOT $2 OR state = 'discarded') RETURNING *
    )
    INSERT INTO postrider.job (
        id, run_at, created_at, attempted_at, attempted_by, claim, attempt, max_attempts,
        priority, queue, kind, args, errors, unique_key,
        options, group_key, flow)
    SELECT id, now(), created_at, attempted_at, attempted_by, claim, 0, max_attempts,
           priority, queue, kind, args, errors, unique_key,
           options, group_key, flow
    FROM taken
    RETURNING queue, run_at INTO the_queue, the_run_at;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM postrider.announce_return(the_queue, the_run_at);
    RETURN true;
END
$$;
COMMENT ON FUNCTION postrider.requeue IS
    'Internal. Moves a finished job back to its queue with its attempts reset. With only_failed, only a discarded one. Returns whether there was one.';
