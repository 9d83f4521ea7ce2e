CREATE FUNCTION postrider.add_unique_job(
    kind          text,
    args          jsonb,
    queue         text,
    priority      integer,
    run_at        timestamptz,
    max_attempts  integer,
    unique_key    text,
    awaited       boolean DEFAULT NULL,
    group_key     text    DEFAULT NULL,
    options       jsonb   DEFAULT NULL,
    OUT id        bigint,
    OUT outcome   text
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    is_notified boolean;
BEGIN
    -- As in add_job.
    IF current_user <> session_user THEN
        PERFORM postrider.check_job($1, $2, $3);
        PERFORM postrider.check_options($9, $10);
    END IF;
    -- Retries if the job with the key finishes between the conflict and the SELECT.
    FOR try IN 1 .. 100 LOOP
        INSERT INTO postrider.job (kind, args, queue, priority, run_at, max_attempts, unique_key, awaited, group_key, options)
        VALUES ($1, coalesce($2, '{}'), coalesce($3, 'default'), coalesce($4, 2), coalesce($5, now()), coalesce($6, 25), $7, $8, $9, $10)
        ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING
        RETURNING id, postrider.announce(queue, run_at) INTO id, is_notified;
        IF FOUND THEN
            outcome := 'inserted';
            RETURN;
        END IF;
        SELECT job.id INTO id FROM postrider.job WHERE unique_key = $7;
        IF FOUND THEN
            outcome := 'existing';
            RETURN;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'unique_key "%" changed hands too often', $7 USING ERRCODE = 'serialization_failure';
END
$$;
COMMENT ON FUNCTION postrider.add_unique_job IS
    'Internal. As add_job, unless an unfinished job has the unique key: then adds nothing. Returns the id of the job, and inserted or existing.';
