-- Brings the finished job $1 back with a fresh budget; $2: only a discarded one. Its claim goes on rising, so that whoever ran it
-- before stays fenced off.
WITH taken AS (
    DELETE FROM postrider.job_history WHERE id = $1 AND (NOT $2 OR state = 'discarded') RETURNING *
),
brought_back AS (
    INSERT INTO postrider.job (
        id, run_at, created_at, attempted_at, attempted_by, claim, attempt, max_attempts,
        priority, queue, kind, args, errors, unique_key)
    SELECT id, now(), created_at, attempted_at, attempted_by, claim, 0, max_attempts,
           priority, queue, kind, args, errors, unique_key
    FROM taken
    RETURNING id, queue, run_at
)
SELECT id, postrider.announce_return(queue, run_at) AS announced FROM brought_back
