-- A notification is only a hint: a worker that misses it finds the job by polling. None is sent while the server's
-- notification queue is nearly full, because the commit would fail. The whole cluster shares the queue: another
-- program's listener in a long transaction can fill it.
CREATE FUNCTION postrider.notify(payload text) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN pg_notification_queue_usage() < 0.9 THEN pg_notify('postrider', $1) IS NOT NULL ELSE false END
$$;
COMMENT ON FUNCTION postrider.notify IS
    'Internal. Notifies the workers on commit. While the notification queue is nearly full, does nothing and returns false.';
