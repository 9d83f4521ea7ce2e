-- Moves completed jobs to the history, each only if its fence (id, claim, worker) holds. Returns the jobs that were
-- moved. The other outcomes were stale.
--
-- A statement of its own beside finish, because most jobs take this path, and each column of an outcome costs time.
WITH outcome AS (
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::uuid[]) AS o (id, claim, worker)
),
finished AS (
    DELETE FROM postrider.job AS j
    USING outcome AS o
    WHERE j.id = ANY ($1) AND j.id = o.id AND j.claim = o.claim AND j.attempted_by = o.worker AND j.running
    -- Not j.*: each extra column costs.
    RETURNING j.id, j.run_at, j.created_at, j.attempted_at, j.attempted_by, j.claim, j.attempt, j.max_attempts,
              j.priority, j.crash_count, j.queue, j.kind, j.args, j.errors, j.unique_key, j.options, j.group_key, j.flow,
              j.awaited
)
INSERT INTO postrider.job_history (
    id, run_at, created_at, attempted_at, finished_at, attempted_by, expires_on, claim, attempt, max_attempts,
    priority, crash_count, state, queue, kind, args, errors, unique_key, options, group_key, flow)
-- A subquery, so that the day of expiry is computed once.
SELECT id, run_at, created_at, attempted_at, now(), attempted_by, (SELECT postrider.expires_on($4::bigint)),
       claim, attempt, max_attempts, priority, crash_count, 'completed', queue, kind, args, errors,
       unique_key, options, group_key, flow
FROM finished
WHERE awaited IS NULL OR postrider.notify_finished(id)
RETURNING id, claim
