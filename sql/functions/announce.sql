-- LANGUAGE sql, so that it is inlined into the statement that inserts the job. A separate call would cost half as much
-- as the insert.
CREATE FUNCTION postrider.announce(queue text, run_at timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT CASE
        -- The poll interval is at most an hour, so a poll finds a later job in time.
        WHEN $2 >= now() + interval '1 hour' THEN false
        WHEN pg_try_advisory_xact_lock_shared(hashtext('postrider'), postrider.idle_key($1)) THEN false
        WHEN $2 <= now() THEN postrider.notify('wake ' || $1)
        ELSE postrider.notify('due ' || ceil(extract(epoch FROM $2) * 1000)::bigint || ' ' || $1)
    END
$$;
COMMENT ON FUNCTION postrider.announce IS
    'Internal. Notifies the workers on commit of a new job that is due now or soon, if one of them is idle. Returns whether it sends a notification.';
