-- Gives up a dead worker ($1), unless it gave a heartbeat since it was looked at ($2), and takes
-- back its jobs. A lost attempt counts: the last one discards the job, the first is repeated at
-- once, later ones wait attempt^4 seconds, at most a day.
WITH dead AS (
    DELETE FROM postrider.worker WHERE id = $1 AND heartbeat_at = $2 RETURNING id
),
lost AS MATERIALIZED (
    SELECT j.id FROM postrider.job AS j JOIN dead ON j.attempted_by = dead.id WHERE j.running ORDER BY j.id FOR UPDATE OF j
),
returned AS (
    UPDATE postrider.job AS j
    SET running = false, failed_at = now(), losses = least(j.losses + 1, 32000),
        run_at = CASE WHEN j.losses = 0 OR j.cancel_requested_at IS NOT NULL THEN j.run_at
                      ELSE now() + make_interval(secs => least(power(j.attempt, 4), 86400)) END,
        errors = postrider.append_error(j.errors, j.attempt, 'attempt lost: worker ' || j.attempted_by || ' died', NULL)
    FROM lost
    WHERE j.id = lost.id AND j.attempt < j.max_attempts
    RETURNING j.id, j.kind, j.attempt, j.max_attempts, j.attempted_by, j.queue, j.run_at
),
spent AS (
    DELETE FROM postrider.job AS j USING lost
    WHERE j.id = lost.id AND j.attempt >= j.max_attempts
    RETURNING j.*
),
discarded AS (
    INSERT INTO postrider.job_history (
        id, run_at, created_at, attempted_at, finished_at, attempted_by, expires_on, claim, attempt, max_attempts,
        priority, losses, state, queue, kind, args, errors, unique_key)
    SELECT id, run_at, created_at, attempted_at, now(), attempted_by, postrider.expires_on($3),
           claim, attempt, max_attempts, priority, least(losses + 1, 32000), 'discarded', queue, kind, args,
           postrider.append_error(errors, attempt, 'attempt lost: worker ' || attempted_by || ' died', NULL),
           unique_key
    FROM spent
    RETURNING id, kind, attempt, max_attempts, attempted_by
)
SELECT id, kind, attempt, max_attempts, attempted_by, false AS discarded, postrider.announce_return(queue, run_at) AS announced FROM returned
UNION ALL
SELECT id, kind, attempt, max_attempts, attempted_by, true, false FROM discarded
