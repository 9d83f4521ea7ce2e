-- Moves finished jobs to history, each only if its fence (id, claim, worker) still holds.
-- Answers with those that were moved; a missing one was stale.
WITH outcome AS (
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::text[])
        AS o (id, claim, worker, state, retention_seconds, error, trace)
),
finished AS (
    DELETE FROM postrider.job AS j
    USING outcome AS o
    WHERE j.id = ANY ($1) AND j.id = o.id AND j.claim = o.claim AND j.attempted_by = o.worker AND j.running
    RETURNING j.*, o.state, o.retention_seconds, o.error, o.trace
)
INSERT INTO postrider.job_history (
    id, run_at, created_at, attempted_at, finished_at, attempted_by, expires_on, claim, attempt, max_attempts,
    priority, losses, state, queue, kind, args, errors, unique_key)
SELECT id, run_at, created_at, attempted_at, now(), attempted_by, postrider.expires_on(retention_seconds),
       claim, attempt, max_attempts, priority, losses, state, queue, kind, args,
       CASE WHEN error IS NULL THEN errors ELSE postrider.append_error(errors, attempt, error, trace) END,
       unique_key
FROM finished
RETURNING id
