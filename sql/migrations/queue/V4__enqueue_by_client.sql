-- Lets roles that may only add jobs use the Rust client, whose functions leave the checks to it.

CREATE FUNCTION postrider.check_job(kind text, args jsonb, queue text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    the_kind  postrider.kind_name  := $1;
    the_queue postrider.queue_name := $3;
BEGIN
    -- What the client writes in 1 MiB, Postgres prints in at most half as much again.
    IF octet_length($2::text) > 2097152 THEN
        RAISE EXCEPTION 'args are % bytes, more than 2097152', octet_length($2::text)
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
END
$$;
COMMENT ON FUNCTION postrider.check_job IS
    'Internal. Fails where a job would not be read again: its names are none, or its args are too large.';

CREATE OR REPLACE FUNCTION postrider.add_job(
    kind         text,
    args         jsonb,
    queue        text,
    priority     integer,
    run_at       timestamptz,
    max_attempts integer,
    unique_key   text
) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    job_id  bigint;
    is_told boolean;
BEGIN
    -- With the rights of its owner (sql/roles.sql) it also serves callers that are no client of ours.
    IF current_user <> session_user THEN
        PERFORM postrider.check_job($1, $2, $3);
    END IF;
    IF $7 IS NULL THEN
        INSERT INTO postrider.job (kind, args, queue, priority, run_at, max_attempts)
        VALUES ($1, coalesce($2, '{}'), coalesce($3, 'default'), coalesce($4, 2), coalesce($5, now()), coalesce($6, 25))
        RETURNING id, postrider.announce(queue, run_at) INTO job_id, is_told;
        RETURN job_id;
    END IF;

    -- The holder of the key may finish between our conflict and our look, so look again.
    FOR look IN 1 .. 100 LOOP
        INSERT INTO postrider.job (kind, args, queue, priority, run_at, max_attempts, unique_key)
        VALUES ($1, coalesce($2, '{}'), coalesce($3, 'default'), coalesce($4, 2), coalesce($5, now()), coalesce($6, 25), $7)
        ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING
        RETURNING id, postrider.announce(queue, run_at) INTO job_id, is_told;
        IF FOUND THEN
            RETURN job_id;
        END IF;
        SELECT id INTO job_id FROM postrider.job WHERE unique_key = $7;
        IF FOUND THEN
            RETURN job_id;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'unique_key "%" changed hands too often', $7 USING ERRCODE = 'serialization_failure';
END
$$;

CREATE OR REPLACE FUNCTION postrider.enqueue_many(
    kinds        text[],
    args         jsonb[],
    queues       text[],
    priorities   integer[],
    run_ats      timestamptz[],
    max_attempts integer[],
    unique_keys  text[],
    delays       double precision[] DEFAULT NULL
) RETURNS bigint[]
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ids   bigint[];
    told  bigint;
    keyed record;
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
        -- Ids are given out in the order of the rows. What nobody counted would not be executed.
        SELECT array_agg(id ORDER BY id), (SELECT count(*) FROM announced) INTO ids, told FROM added;
        RETURN ids;
    END IF;

    ids := ARRAY(SELECT nextval('postrider.job_id_seq') FROM generate_series(1, cardinality($1)));

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
    SELECT count(*) INTO told FROM announced;

    -- In the order of the keys, so that two batches never wait for each other in a circle.
    FOR keyed IN
        SELECT t.*
        FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) WITH ORDINALITY
             AS t (kind, args, queue, priority, run_at, max_attempts, unique_key, delay, place)
        WHERE t.unique_key IS NOT NULL
        ORDER BY t.unique_key, t.place
    LOOP
        ids[keyed.place] := postrider.add_job(
            keyed.kind, keyed.args, keyed.queue, keyed.priority,
            coalesce(keyed.run_at, now() + keyed.delay * interval '1 s'), keyed.max_attempts, keyed.unique_key);
    END LOOP;
    RETURN ids;
END
$$;
