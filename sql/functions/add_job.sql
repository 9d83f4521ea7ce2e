CREATE FUNCTION postrider.add_job(
    kind          text,
    args          jsonb,
    queue         text,
    priority      integer,
    run_at        timestamptz,
    max_attempts  integer,
    awaited       boolean DEFAULT NULL,
    group_key     text    DEFAULT NULL,
    options       jsonb   DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    job_id      bigint;
    is_notified boolean;
BEGIN
    -- As SECURITY DEFINER (sql/roles.sql), it also serves clients other than ours, which have checked nothing.
    IF current_user <> session_user THEN
        PERFORM postrider.check_job($1, $2, $3);
        PERFORM postrider.check_options($8, $9);
    END IF;
    INSERT INTO postrider.job (kind, args, queue, priority, run_at, max_attempts, awaited, group_key, options)
    VALUES ($1, coalesce($2, '{}'), coalesce($3, 'default'), coalesce($4, 2), coalesce($5, now()), coalesce($6, 25), $7, $8, $9)
    RETURNING id, postrider.announce(queue, run_at) INTO job_id, is_notified;
    RETURN job_id;
END
$$;
COMMENT ON FUNCTION postrider.add_job IS
    'Internal. Adds a job without a unique key, for callers that have checked it. The Rust client measures the JSON that it writes, which is shorter than the text that Postgres prints.';
