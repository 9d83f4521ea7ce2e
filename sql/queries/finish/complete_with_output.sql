-- As complete, for jobs whose handlers returned a value.
WITH outcome AS (
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::uuid[], $5::jsonb[]) AS o (id, claim, worker, output)
),
finished AS (
    DELETE FROM postrider.job AS j
    USING outcome AS o
    WHERE j.id = ANY ($1) AND j.id = o.id AND j.claim = o.claim AND j.attempted_by = o.worker AND j.running
    RETURNING j.id, j.run_at, j.created_at, j.attempted_at, j.attempted_by, j.claim, j.attempt, j.max_attempts,
              j.priority, j.crash_count, j.queue, j.kind, j.args, j.errors, j.unique_key, j.options, j.group_key,
              j.flow, j.awaited, o.output
)
INSERT INTO postrider.job_history (
    id, run_at, created_at, attempted_at, finished_at, attempted_by, expires_on, claim, attempt, max_attempts,
    priority, crash_count, state, queue, kind, args, errors, unique_key,
    options, group_key, flow, output)
SELECT id, run_at, created_at, attempted_at, now(), attempted_by, (SELECT postrider.expires_on($4::bigint)),
       claim, attempt, max_attempts, priority, crash_count, 'completed', queue, kind, args, errors,
       unique_key, options, group_key, flow, output
FROM finished
WHERE awaited IS NULL OR postrider.notify_finished(id)
RETURNING id, claim
