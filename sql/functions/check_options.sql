-- Not table constraints, because every update would evaluate them again.
CREATE FUNCTION postrider.check_options(group_key text, options jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF octet_length($1) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'group_key is % bytes, not 1 to 255', octet_length($1) USING ERRCODE = 'check_violation';
    END IF;
    -- Callers of add_job pass the object themselves. A JSON string escapes a byte as at most six.
    IF jsonb_typeof($2) <> 'object' OR octet_length($2::text) > 16384 THEN
        RAISE EXCEPTION 'options are no object of at most 16384 bytes' USING ERRCODE = 'check_violation';
    END IF;
    IF jsonb_array_length($2 -> 'tags') > 16 THEN
        RAISE EXCEPTION 'tags are %, more than 16', jsonb_array_length($2 -> 'tags') USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT FROM jsonb_array_elements($2 -> 'tags') AS tag
               WHERE jsonb_typeof(tag) <> 'string' OR octet_length(tag #>> '{}') NOT BETWEEN 1 AND 64) THEN
        RAISE EXCEPTION 'a tag is no text of 1 to 64 bytes' USING ERRCODE = 'check_violation';
    END IF;
    IF jsonb_typeof($2 -> 'trace_context') <> 'string' THEN
        RAISE EXCEPTION 'trace_context is no text' USING ERRCODE = 'check_violation';
    END IF;
    IF octet_length($2 ->> 'trace_context') NOT BETWEEN 1 AND 600 THEN
        RAISE EXCEPTION 'trace_context is % bytes, not 1 to 600', octet_length($2 ->> 'trace_context')
            USING ERRCODE = 'check_violation';
    END IF;
    IF jsonb_typeof($2 -> 'cost') <> 'number' OR jsonb_typeof($2 -> 'kind_version') <> 'number' THEN
        RAISE EXCEPTION 'cost or kind_version is no number' USING ERRCODE = 'check_violation';
    END IF;
    IF ($2 ->> 'cost')::integer NOT BETWEEN 1 AND 1000000 THEN
        RAISE EXCEPTION 'cost is %, not 1 to 1000000', $2 ->> 'cost' USING ERRCODE = 'check_violation';
    END IF;
    IF ($2 ->> 'kind_version')::integer < 0 THEN
        RAISE EXCEPTION 'kind_version is %, below 0', $2 ->> 'kind_version' USING ERRCODE = 'check_violation';
    END IF;
END
$$;
COMMENT ON FUNCTION postrider.check_options IS
    'Internal. Rejects out-of-range values of the rarely used options of postrider.enqueue.';
