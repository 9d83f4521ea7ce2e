CREATE FUNCTION postrider.announce_return(queue text, run_at timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF $2 <= now() THEN
        RETURN postrider.notify('back ' || $1);
    END IF;
    RETURN postrider.announce($1, $2);
END
$$;
COMMENT ON FUNCTION postrider.announce_return IS
    'Internal. Like announce, for jobs that return to their queue. They may lie behind the workers'' cursors, so all workers are notified and scan from the start.';
