-- A notification is only a hint: a worker that misses it finds the job by polling. None is sent while the server's
-- notification queue is nearly full, because the commit would fail. The whole cluster shares the queue: another
-- program's listener in a long transaction can fill it. Nor is one sent with postrider.notify = off, for a transaction
-- that will be prepared: PREPARE TRANSACTION fails after a NOTIFY.
CREATE FUNCTION postrider.notify(payload text) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN current_setting('postrider.notify', true) = 'off' THEN false
                WHEN pg_notification_queue_usage() < 0.9 THEN pg_notify('postrider', $1) IS NOT NULL
                ELSE false END
$$;
COMMENT ON FUNCTION postrider.notify IS
    'Internal. Notifies the workers on commit. With postrider.notify = off, or while the notification queue is nearly full, does nothing and returns false.';
