CREATE FUNCTION postrider.resume(queue text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    the_queue postrider.queue_name := coalesce($1, '');
BEGIN
    UPDATE postrider.queue AS q SET paused_at = NULL WHERE q.name = the_queue AND q.paused_at IS NOT NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM postrider.announce_return(the_queue, now());
    RETURN true;
END
$$;
COMMENT ON FUNCTION postrider.resume IS 'Resumes a paused queue. Returns whether it was paused.';
