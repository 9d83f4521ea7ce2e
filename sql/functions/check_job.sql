CREATE FUNCTION postrider.check_job(kind text, args jsonb, queue text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    the_kind  postrider.kind_name  := $1;
    the_queue postrider.queue_name := $3;
BEGIN
    -- Postgres prints 1 MiB of the client's JSON as at most half as much again.
    IF octet_length($2::text) > 2097152 THEN
        RAISE EXCEPTION 'args are % bytes, more than 2097152', octet_length($2::text)
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
END
$$;
COMMENT ON FUNCTION postrider.check_job IS
    'Internal. Rejects a job that could not be read back: invalid names, or args that are too large.';
