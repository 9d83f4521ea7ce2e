CREATE FUNCTION postrider.enqueue(
    kind          text,
    args          jsonb       DEFAULT '{}',
    queue         text        DEFAULT 'default',
    priority      integer     DEFAULT 2,
    run_at        timestamptz DEFAULT now(),
    max_attempts  integer     DEFAULT 25,
    unique_key    text        DEFAULT NULL,
    tags          text[]      DEFAULT NULL,
    trace_context text        DEFAULT NULL,
    group_key     text        DEFAULT NULL,
    cost          integer     DEFAULT NULL,
    kind_version  integer     DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (postrider.enqueue_with_outcome($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)).id;
END
$$;
COMMENT ON FUNCTION postrider.enqueue IS
    'Enqueues a job in the caller''s transaction and returns its id. NULL means the default. If an unfinished job has the same unique_key, returns the id of that job and adds nothing.';
