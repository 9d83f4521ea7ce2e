CREATE FUNCTION postrider.enqueue_with_outcome(
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
    kind_version  integer     DEFAULT NULL,
    OUT id        bigint,
    OUT outcome   text
)
LANGUAGE plpgsql AS $$
DECLARE
    the_kind  postrider.kind_name  := $1;
    the_queue postrider.queue_name := $3;
    options   jsonb;
BEGIN
    -- Measures the text, because 22 bytes of jsonb can be 131,074 bytes of text (1e131071).
    IF octet_length($2::text) > 1048576 THEN
        RAISE EXCEPTION 'args are % bytes, more than 1048576', octet_length($2::text)
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    -- Checked here because the error of a cast to smallint would not name the field.
    IF $4 NOT BETWEEN 1 AND 4 THEN
        RAISE EXCEPTION 'priority is %, not 1 to 4', $4 USING ERRCODE = 'check_violation';
    END IF;
    IF $8 IS NOT NULL OR $9 IS NOT NULL OR $10 IS NOT NULL OR $11 IS NOT NULL OR $12 IS NOT NULL THEN
        options := nullif(jsonb_strip_nulls(jsonb_build_object(
            'tags', $8, 'trace_context', $9, 'cost', $11, 'kind_version', $12)), '{}');
        PERFORM postrider.check_options($10, options);
    END IF;
    IF getdatabaseencoding() <> 'UTF8' AND NOT postrider.is_utf8(concat($2, $7, $8, $9, $10)) THEN
        RAISE EXCEPTION 'args, unique_key, tags, trace_context or group_key are no text in UTF-8, which workers could not read'
            USING ERRCODE = 'character_not_in_repertoire',
                  HINT = 'This database is encoded ' || getdatabaseencoding() || ': set client_encoding to what the program sends.';
    END IF;
    IF $7 IS NULL THEN
        id := postrider.add_job(the_kind, $2, the_queue, $4, $5, $6, NULL, $10, options);
        outcome := 'inserted';
    ELSE
        SELECT added.id, added.outcome INTO id, outcome
        FROM postrider.add_unique_job(the_kind, $2, the_queue, $4, $5, $6, $7, NULL, $10, options) AS added;
    END IF;
END
$$;
COMMENT ON FUNCTION postrider.enqueue_with_outcome IS
    'Enqueues a job in the caller''s transaction, as postrider.enqueue, and returns its id and the outcome: inserted, or existing if an unfinished job has the same unique_key. Then the id is that of the existing job.';
