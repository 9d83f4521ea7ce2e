-- The job $1 was cancelled while it ran.
WITH finished AS (
    DELETE FROM postrider.job WHERE id = $1::text::bigint RETURNING *
)
INSERT INTO postrider.job_history (
    id, run_at, created_at, attempted_at, finished_at, attempted_by, expires_on, claim, attempt, max_attempts, priority,
    crash_count, state, queue, kind, args, errors, unique_key, options, group_key, output)
SELECT id, run_at, created_at, now(), now(), gen_random_uuid(), postrider.expires_on(86400), claim + 1, attempt + 1,
       max_attempts, priority, crash_count, 'cancelled', queue, kind, args, NULL,
       unique_key, options, group_key, NULL
FROM finished
