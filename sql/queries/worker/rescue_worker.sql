-- Declares a worker ($1) dead, unless it has sent a heartbeat since it was probed ($2), and rescues its jobs. A lost
-- attempt counts. After the first one in a row, the job is due now. After the next ones, it is due in
-- (crash_count - 1)^4 seconds, at most a day: the UPDATE reads crash_count before it counts this crash. A job is
-- discarded when its last attempt is lost, and at the third crash during which its worker ran no other job: that job
-- kills its worker. If $4 is false, the jobs that are to be discarded stay as they are, because the history refuses one
-- of them: rescue_stranded rescues them.
--
-- Claims take jobs from the front of a queue, so a worker's jobs are near the front. This reads the first 50,000 jobs
-- of each priority, however many millions the queue has. rescue_stranded rescues jobs that are farther back or locked.
WITH dead AS (
    DELETE FROM postrider.worker
    WHERE id = $1
      -- Compares the value that the probe read: a time edited beyond the calendar is clamped to its end.
      AND greatest(least(heartbeat_at, '9999-12-31T23:59:59.999999Z'), '0001-01-01T00:00:00Z') = $2
    RETURNING id, queues
),
running_jobs AS MATERIALIZED (
    SELECT front.id
    FROM dead
    CROSS JOIN LATERAL unnest(dead.queues) AS q (queue)
    CROSS JOIN (VALUES (1::smallint), (2::smallint), (3::smallint), (4::smallint)) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT j.id, j.running, j.attempted_by
        FROM postrider.job AS j
        WHERE j.queue = q.queue AND j.priority = p.priority AND j.run_at <= clock_timestamp()
        ORDER BY j.run_at, j.id + 0
        LIMIT 50000) AS front
    WHERE front.running AND front.attempted_by = dead.id
),
lost AS MATERIALIZED (
    SELECT j.id,
           (SELECT count(*) FROM running_jobs) = 1 AS was_alone,
           j.attempt >= j.max_attempts OR ((SELECT count(*) FROM running_jobs) = 1 AND j.solo_crash_count >= 2) AS is_final,
           'attempt lost: worker ' || j.attempted_by || ' died'
               || CASE WHEN (SELECT count(*) FROM running_jobs) > 1 THEN ''
                       WHEN j.solo_crash_count >= 2 THEN '; the job has now killed its worker ' || j.solo_crash_count + 1 || ' times while it ran alone'
                       ELSE ' while it ran nothing else' END AS error
    FROM postrider.job AS j
    WHERE j.id = ANY (ARRAY(SELECT id FROM running_jobs)) AND j.running AND j.attempted_by = $1
    ORDER BY j.id
    FOR UPDATE SKIP LOCKED
),
returned AS (
    UPDATE postrider.job AS j
    SET running = false, failed_at = now(), crash_count = least(j.crash_count + 1, 32000), solo_crash_count = j.solo_crash_count + lost.was_alone::integer,
        run_at = CASE WHEN j.crash_count <= 0 OR j.cancel_requested_at IS NOT NULL THEN j.run_at
                      ELSE now() + make_interval(secs => least(power(j.crash_count, 4), 86400)) END,
        errors = postrider.append_error(j.errors, j.attempt, lost.error, NULL)
    FROM lost
    WHERE j.id = lost.id AND NOT lost.is_final
    RETURNING j.id, j.kind, j.attempt::integer, j.max_attempts::integer, j.attempted_by, lost.error, j.queue, j.run_at
),
final AS (
    DELETE FROM postrider.job AS j USING lost
    WHERE j.id = lost.id AND lost.is_final AND $4
    RETURNING j.*, lost.error
),
discarded AS (
    INSERT INTO postrider.job_history (
        id, run_at, created_at, attempted_at, finished_at, attempted_by, expires_on, claim, attempt, max_attempts,
        priority, crash_count, state, queue, kind, args, errors, unique_key,
        options, group_key, flow)
    SELECT id, run_at, created_at, attempted_at, now(), attempted_by, postrider.expires_on($3),
           claim, attempt, max_attempts, priority, least(crash_count + 1, 32000), 'discarded', queue, kind, args,
           postrider.append_error(errors, attempt, error, NULL), unique_key,
           options, group_key, flow
    FROM final
    WHERE awaited IS NULL OR postrider.notify_finished(id)
    RETURNING id, kind, attempt::integer, max_attempts::integer, attempted_by, errors -> -1 ->> 'error' AS error
)
SELECT id, postrider.readable(kind) AS kind, attempt, max_attempts, attempted_by, error, false AS discarded, postrider.announce_return(queue, run_at) AS announced FROM returned
UNION ALL
SELECT id, postrider.readable(kind), attempt, max_attempts, attempted_by, error, true, false FROM discarded
