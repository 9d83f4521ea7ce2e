-- Requests the cancellation of a running job and notifies the workers.
WITH asked AS (
    UPDATE postrider.job SET cancel_requested_at = coalesce(cancel_requested_at, now())
    WHERE id = $1 AND running
    RETURNING id
)
SELECT id, postrider.notify('cancel') AS announced FROM asked
