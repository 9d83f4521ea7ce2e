-- Asks the worker of a running job to stop it.
WITH asked AS (
    UPDATE postrider.job SET cancel_requested_at = coalesce(cancel_requested_at, now())
    WHERE id = $1 AND running
    RETURNING id
)
SELECT id, pg_notify('postrider', 'cancel') AS announced FROM asked
