CREATE FUNCTION postrider.enqueue_many(
    kinds        text[],
    args         jsonb[],
    queues       text[],
    priorities   integer[],
    run_ats      timestamptz[],
    max_attempts integer[],
    unique_keys  text[],
    delays       double precision[] DEFAULT NULL,
    OUT ids      bigint[],
    OUT outcomes text[]
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    notified bigint;
    keyed    record;
    added    record;
BEGIN
    -- As in add_job.
    IF current_user <> session_user THEN
        PERFORM postrider.check_job(t.kind, t.args, t.queue) FROM unnest($1, $2, $3) AS t (kind, args, queue);
    END IF;
    IF $7 IS NULL THEN
        WITH added AS (
            INSERT INTO postrider.job (kind, args, queue, priority, run_at, max_attempts)
            SELECT t.kind, t.args, t.queue, t.priority, coalesce(t.run_at, now() + t.delay * interval '1 s', now()), t.max_attempts
            FROM unnest($1, $2, $3, $4, $5, $6, $8) AS t (kind, args, queue, priority, run_at, max_attempts, delay)
            RETURNING id, queue, run_at
        ),
        announced AS (
            SELECT postrider.announce(queue, min(run_at)) FROM added GROUP BY queue
        )
        -- Ids are assigned in the order of the rows. The count forces `announced` to run.
        SELECT array_agg(id ORDER BY id), (SELECT count(*) FROM announced) INTO ids, notified FROM added;
        RETURN;
    END IF;

    ids := ARRAY(SELECT nextval('postrider.job_id_seq') FROM generate_series(1, cardinality($1)));
    outcomes := array_fill('inserted'::text, ARRAY[cardinality($1)]);

    WITH added AS (
        INSERT INTO postrider.job (id, kind, args, queue, priority, run_at, max_attempts)
        SELECT t.id, t.kind, t.args, t.queue, t.priority, coalesce(t.run_at, now() + t.delay * interval '1 s', now()), t.max_attempts
        FROM unnest(ids, $1, $2, $3, $4, $5, $6, $7, $8)
             AS t (id, kind, args, queue, priority, run_at, max_attempts, unique_key, delay)
        WHERE t.unique_key IS NULL
        RETURNING queue, run_at
    ),
    announced AS (
        SELECT postrider.announce(queue, min(run_at)) FROM added GROUP BY queue
    )
    SELECT count(*) INTO notified FROM announced;

    -- Ordered by key, so that two batches cannot deadlock.
    FOR keyed IN
        SELECT t.*
        FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) WITH ORDINALITY
             AS t (kind, args, queue, priority, run_at, max_attempts, unique_key, delay, place)
        WHERE t.unique_key IS NOT NULL
        ORDER BY t.unique_key, t.place
    LOOP
        added := postrider.add_unique_job(
            keyed.kind, keyed.args, keyed.queue, keyed.priority,
            coalesce(keyed.run_at, now() + keyed.delay * interval '1 s'), keyed.max_attempts, keyed.unique_key);
        ids[keyed.place] := added.id;
        outcomes[keyed.place] := added.outcome;
    END LOOP;
END
$$;
COMMENT ON FUNCTION postrider.enqueue_many IS
    'Internal. Adds many jobs with one notification per queue. Returns the ids and outcomes in input order; no outcomes if no job has a unique key, since then all are inserted. A job without a time is due after its delay (in s), or now. The client fills in the other defaults.';
