CREATE FUNCTION postrider.readable(value text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN getdatabaseencoding() = 'UTF8' OR postrider.is_utf8($1) THEN $1
                ELSE encode(convert_to($1, getdatabaseencoding()), 'escape') END
$$;
COMMENT ON FUNCTION postrider.readable(text) IS 'Internal. Returns the text, or its escaped bytes if it cannot be sent in UTF-8.';

CREATE FUNCTION postrider.readable(value jsonb) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN getdatabaseencoding() = 'UTF8' OR postrider.is_utf8($1::text) THEN $1
                ELSE to_jsonb(encode(convert_to($1::text, getdatabaseencoding()), 'escape')) END
$$;
COMMENT ON FUNCTION postrider.readable(jsonb) IS
    'Internal. Returns the JSON, or a string of its escaped bytes if it cannot be sent in UTF-8.';
