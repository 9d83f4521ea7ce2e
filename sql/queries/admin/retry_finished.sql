-- Moves finished jobs ($1) back to their queues with their attempts reset. $2: only discarded ones. The claim number is
-- kept, so that former attempts stay fenced off.
WITH taken AS (
    DELETE FROM postrider.job_history WHERE id = ANY ($1::bigint[]) AND (NOT $2 OR state = 'discarded') RETURNING *
),
brought_back AS (
    INSERT INTO postrider.job (
        id, run_at, created_at, attempted_at, attempted_by, claim, attempt, max_attempts,
        priority, queue, kind, args, errors, unique_key,
        options, group_key, flow)
    SELECT id, now(), created_at, attempted_at, attempted_by, claim, 0, max_attempts,
           priority, queue, kind, args, errors, unique_key,
           options, group_key, flow
    FROM taken
    RETURNING id, queue, run_at
)
SELECT id, postrider.announce_return(queue, run_at) AS announced FROM brought_back
