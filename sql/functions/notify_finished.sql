-- Of use in a WHERE clause: it is called only for jobs that somebody waits for, and is always true. It has a channel of
-- its own, so that no worker is woken. The notification is only a hint, as in notify.sql.
CREATE FUNCTION postrider.notify_finished(id bigint) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN current_setting('postrider.notify', true) = 'off' THEN true
                WHEN pg_notification_queue_usage() < 0.9 THEN pg_notify('postrider.finished', $1::text) IS NOT NULL
                ELSE true END
$$;
COMMENT ON FUNCTION postrider.notify_finished IS
    'Internal. Notifies those who wait for the job on commit that it is finished. Returns true.';
