-- Makes a waiting job due now.
WITH moved AS (
    UPDATE postrider.job SET run_at = least(run_at, now())
    WHERE id = $1 AND NOT running
    RETURNING id, queue, run_at
)
SELECT id, postrider.announce(queue, run_at) AS announced FROM moved
