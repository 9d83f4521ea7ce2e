CREATE FUNCTION postrider.expires_on(retention_seconds bigint) RETURNS date
LANGUAGE sql STABLE AS $$
    SELECT ((now() + make_interval(secs => $1)) AT TIME ZONE 'UTC')::date
$$;
COMMENT ON FUNCTION postrider.expires_on IS 'Internal. Returns the day of expiry of a job that finishes now with this retention.';
