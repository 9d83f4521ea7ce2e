-- Gives up a dead worker ($1), unless it gave a heartbeat since it was looked at ($2), and takes
-- back its jobs. A lost attempt counts. The first one in a row is repeated at once, the following wait
-- for losses^4 seconds, at most a day. The last one of its budget discards the job, and so does the
-- third that was lost while its worker ran nothing else: that job kills its worker.
--
-- Claims go from the front of the queue, so what a worker runs lies there: this looks at the first
-- 50,000 jobs of each priority, which takes no longer for millions behind them. Whatever lies farther
-- back, or is locked, is left for rescue_strays.
WITH dead AS (
    DELETE FROM postrider.worker WHERE id = $1 AND heartbeat_at = $2 RETURNING id, queues
),
held AS MATERIALIZED (
    SELECT front.id
    FROM dead
    CROSS JOIN LATERAL unnest(dead.queues) AS q (queue)
    CROSS JOIN (VALUES (1::smallint), (2::smallint), (3::smallint), (4::smallint)) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT j.id, j.running, j.attempted_by
        FROM postrider.job AS j
        WHERE j.queue = q.queue AND j.priority = p.priority AND j.run_at <= clock_timestamp()
        ORDER BY j.run_at, j.id
        LIMIT 50000) AS front
    WHERE front.running AND front.attempted_by = dead.id
),
lost AS MATERIALIZED (
    SELECT j.id,
           (SELECT count(*) FROM held) = 1 AS was_alone,
           j.attempt >= j.max_attempts OR ((SELECT count(*) FROM held) = 1 AND j.lone_losses >= 2) AS is_spent,
           'attempt lost: worker ' || j.attempted_by || ' died'
               || CASE WHEN (SELECT count(*) FROM held) > 1 THEN ''
                       WHEN j.lone_losses >= 2 THEN '; the job has now killed its worker ' || j.lone_losses + 1 || ' times while it ran alone'
                       ELSE ' while it ran nothing else' END AS error
    FROM postrider.job AS j
    WHERE j.id = ANY (ARRAY(SELECT id FROM held)) AND j.running AND j.attempted_by = $1
    ORDER BY j.id
    FOR UPDATE SKIP LOCKED
),
returned AS (
    UPDATE postrider.job AS j
    SET running = false, failed_at = now(), losses = least(j.losses + 1, 32000), lone_losses = j.lone_losses + lost.was_alone::integer,
        run_at = CASE WHEN j.losses <= 0 OR j.cancel_requested_at IS NOT NULL THEN j.run_at
                      ELSE now() + make_interval(secs => least(power(j.losses, 4), 86400)) END,
        errors = postrider.append_error(j.errors, j.attempt, lost.error, NULL)
    FROM lost
    WHERE j.id = lost.id AND NOT lost.is_spent
    RETURNING j.id, j.kind, j.attempt, j.max_attempts, j.attempted_by, lost.error, j.queue, j.run_at
),
spent AS (
    DELETE FROM postrider.job AS j USING lost
    WHERE j.id = lost.id AND lost.is_spent
    RETURNING j.*, lost.error
),
discarded AS (
    INSERT INTO postrider.job_history (
        id, run_at, created_at, attempted_at, finished_at, attempted_by, expires_on, claim, attempt, max_attempts,
        priority, losses, state, queue, kind, args, errors, unique_key)
    SELECT id, run_at, created_at, attempted_at, now(), attempted_by, postrider.expires_on($3),
           claim, attempt, max_attempts, priority, least(losses + 1, 32000), 'discarded', queue, kind, args,
           postrider.append_error(errors, attempt, error, NULL), unique_key
    FROM spent
    RETURNING id, kind, attempt, max_attempts, attempted_by, errors -> -1 ->> 'error' AS error
)
SELECT id, kind, attempt, max_attempts, attempted_by, error, false AS discarded, postrider.announce_return(queue, run_at) AS announced FROM returned
UNION ALL
SELECT id, kind, attempt, max_attempts, attempted_by, error, true, false FROM discarded
