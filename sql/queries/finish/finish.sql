-- As complete, for jobs that are cancelled or discarded, with their last errors.
WITH outcome AS (
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::text[])
        AS o (id, claim, worker, state, retention_seconds, error, trace)
),
finished AS (
    DELETE FROM postrider.job AS j
    USING outcome AS o
    WHERE j.id = ANY ($1) AND j.id = o.id AND j.claim = o.claim AND j.attempted_by = o.worker AND j.running
    -- Not j.*: each extra column costs.
    RETURNING j.id, j.run_at, j.created_at, j.attempted_at, j.attempted_by, j.claim, j.attempt, j.max_attempts,
              j.priority, j.crash_count, j.queue, j.kind, j.args, j.errors, j.unique_key, j.options, j.group_key,
              j.flow, j.awaited, o.state, o.retention_seconds, o.error, o.trace
)
INSERT INTO postrider.job_history (
    id, run_at, created_at, attempted_at, finished_at, attempted_by, expires_on, claim, attempt, max_attempts,
    priority, crash_count, state, queue, kind, args, errors, unique_key,
    options, group_key, flow)
SELECT id, run_at, created_at, attempted_at, now(), attempted_by, postrider.expires_on(retention_seconds),
       claim, attempt, max_attempts, priority, crash_count, state::postrider.final_state, queue, kind, args,
       CASE WHEN error IS NULL THEN errors ELSE postrider.append_error(errors, attempt, error, trace) END,
       unique_key, options, group_key, flow
FROM finished
WHERE awaited IS NULL OR postrider.notify_finished(id)
RETURNING id, claim
