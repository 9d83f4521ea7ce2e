-- Cancels a job that is not running: moves it to the history, with a retention of $2 seconds.
WITH cancelled AS (
    DELETE FROM postrider.job WHERE id = $1 AND NOT running RETURNING *
)
INSERT INTO postrider.job_history (
    id, run_at, created_at, attempted_at, finished_at, attempted_by, expires_on, claim, attempt, max_attempts,
    priority, crash_count, state, queue, kind, args, errors, unique_key,
    options, group_key, flow)
SELECT id, run_at, created_at, attempted_at, now(), attempted_by, postrider.expires_on($2), claim, attempt, max_attempts,
       priority, crash_count, 'cancelled', queue, kind, args, errors, unique_key,
       options, group_key, flow
FROM cancelled
WHERE awaited IS NULL OR postrider.notify_finished(id)
RETURNING id
