-- Wakes only those who are idle, and checks names where jobs are added instead of at each claim.

-- A check constraint is evaluated again by every update of its row, so also by each claim: these two
-- cost as much as all the rest of a claim. As domains of what postrider.enqueue is given they are
-- evaluated once; the Rust client checks names itself.
ALTER TABLE postrider.job
    DROP CONSTRAINT queue_is_a_name,
    DROP CONSTRAINT kind_is_a_name;

CREATE DOMAIN postrider.queue_name AS text
    CONSTRAINT queue_is_a_name CHECK (VALUE ~ '^[A-Za-z0-9_][A-Za-z0-9_./-]{0,63}$');
CREATE DOMAIN postrider.kind_name AS text
    CONSTRAINT kind_is_a_name CHECK (VALUE ~ '^[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}$');

-- A claim makes its row about 24 bytes longer (who has it, and since when). At 50 a page of small jobs
-- did not hold both versions of all of its rows: one claim in six wrote a row to another page and to
-- all indexes.
ALTER TABLE postrider.job SET (fillfactor = 45);

-- The idle lock. An idle worker holds the session advisory lock (1886351218, idle_key(queue))
-- exclusively; whoever adds a job tries its shared form. Refused: somebody is idle, so a notification
-- is sent. Granted: nobody is, so none is sent; and since the shared lock lasts until the job is
-- committed, a worker that gets the lock afterwards and then looks once cannot miss the job.
--
-- A committing NOTIFY holds a lock of the whole cluster through its flush, which ends group commit:
-- with 32 connections, jobs are added at a quarter of the speed.
CREATE FUNCTION postrider.idle_key(queue text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- Few keys, so that a transaction with jobs for many queues cannot fill the table of locks.
    SELECT hashtext($1) & 127
$$;
COMMENT ON FUNCTION postrider.idle_key IS
    'Internal. Second key of the idle lock. Queues that share one wake each other''s workers now and then.';

-- In SQL, so that it becomes part of the statement that adds a job: a call of its own would cost half
-- as much as the insert.
CREATE OR REPLACE FUNCTION postrider.announce(queue text, run_at timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT CASE
        -- No poll interval is longer than an hour, so a later job is seen by a poll in time.
        WHEN $2 >= now() + interval '1 hour' THEN false
        WHEN pg_try_advisory_xact_lock_shared(1886351218, postrider.idle_key($1)) THEN false
        WHEN $2 <= now() THEN pg_notify('postrider', 'wake ' || $1) IS NOT NULL
        ELSE pg_notify('postrider', 'due ' || ceil(extract(epoch FROM $2) * 1000)::bigint || ' ' || $1) IS NOT NULL
    END
$$;
COMMENT ON FUNCTION postrider.announce IS
    'Internal. Notifies workers, on commit, of a new job that is due now or soon, if one is idle; tells whether it did.';

CREATE FUNCTION postrider.announce_return(queue text, run_at timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF $2 <= now() THEN
        PERFORM pg_notify('postrider', 'back ' || $1);
        RETURN true;
    END IF;
    RETURN postrider.announce($1, $2);
END
$$;
COMMENT ON FUNCTION postrider.announce_return IS
    'Internal. As announce, for jobs that come back: they may lie behind the place from which workers look for jobs, so all are told to look from the start.';

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

CREATE OR REPLACE FUNCTION postrider.enqueue(
    kind         text,
    args         jsonb       DEFAULT '{}',
    queue        text        DEFAULT 'default',
    priority     integer     DEFAULT 2,
    run_at       timestamptz DEFAULT now(),
    max_attempts integer     DEFAULT 25,
    unique_key   text        DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    the_kind  postrider.kind_name  := $1;
    the_queue postrider.queue_name := $3;
BEGIN
    -- The text itself is measured: 22 bytes of jsonb can be 131,074 of text (1e131071).
    IF octet_length($2::text) > 1048576 THEN
        RAISE EXCEPTION 'args are % bytes, more than 1048576', octet_length($2::text)
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    -- Checked here because a cast to smallint would report a number, not a field.
    IF $4 NOT BETWEEN 1 AND 4 THEN
        RAISE EXCEPTION 'priority is %, not 1 to 4', $4 USING ERRCODE = 'check_violation';
    END IF;
    RETURN postrider.add_job(the_kind, $2, the_queue, $4, $5, $6, $7);
END
$$;

-- Where no job has a key, one statement does all. Keys are null where no job has any.
DROP FUNCTION postrider.enqueue_many(text[], jsonb[], text[], integer[], timestamptz[], integer[], text[]);
CREATE FUNCTION postrider.enqueue_many(
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
COMMENT ON FUNCTION postrider.enqueue_many IS
    'Internal. Adds many jobs with one notification a queue; ids in the order given. Without a time a job is due after its delay (in s), or now; the client fills the other defaults in.';
