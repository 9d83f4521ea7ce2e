CREATE FUNCTION postrider.append_error(errors jsonb, attempt integer, error text, trace text) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(CASE WHEN jsonb_typeof(e.entry) = 'object' THEN jsonb_set(e.entry, '{trace}', 'null')
                                   ELSE e.entry END ORDER BY e.place)
                    FILTER (WHERE e.place > jsonb_array_length($1) - 4), '[]')
           || jsonb_build_array(jsonb_build_object(
                  'attempt', $2,
                  'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                  'error', $3,
                  'trace', $4))
    FROM jsonb_array_elements($1) WITH ORDINALITY AS e (entry, place)
$$;
COMMENT ON FUNCTION postrider.append_error IS 'Internal. Appends one failure to the column errors. Keeps the last five, and only the latest trace.';
