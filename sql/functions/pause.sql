CREATE FUNCTION postrider.pause(queue text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    the_queue postrider.queue_name := coalesce($1, '');
BEGIN
    INSERT INTO postrider.queue AS q (name, paused_at) VALUES (the_queue, now())
    ON CONFLICT (name) DO UPDATE SET paused_at = excluded.paused_at WHERE q.paused_at IS NULL;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION postrider.pause IS
    'Pauses a queue: no worker claims its jobs, and running ones continue. Returns whether it was not paused before.';
