-- Makes waiting jobs ($1) due now. $2: only those whose latest finished attempt failed.
WITH moved AS (
    UPDATE postrider.job SET run_at = least(run_at, now()), cancel_requested_at = NULL
    WHERE id = ANY ($1::bigint[]) AND NOT running AND (NOT $2 OR failed_at IS NOT NULL)
    RETURNING id, queue, run_at
)
SELECT id, postrider.announce_return(queue, run_at) AS announced FROM moved
