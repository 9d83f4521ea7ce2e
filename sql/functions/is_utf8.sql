-- For databases in an encoding other than UTF-8, which our programs use. SQL_ASCII accepts any bytes, and some
-- encodings have characters that UTF-8 lacks.
CREATE FUNCTION postrider.is_utf8(value text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM convert_to($1, 'UTF8');
    RETURN true;
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION postrider.is_utf8 IS 'Internal. Returns whether a text can be sent to a client in UTF-8.';
