-- Each scan reads at most 20,002 rows of one queue and priority, due or waiting, so that a backlog of millions costs no
-- more than one of thousands. *_cut means that a scan ended early.
--
-- By its estimates, the planner would use JIT, which takes 30 times as long as the query runs.
CREATE FUNCTION postrider.stats(
    OUT queue                  text,
    OUT available              bigint,
    OUT available_capped       boolean,
    OUT running                bigint,
    OUT running_capped         boolean,
    OUT scheduled              bigint,
    OUT scheduled_capped       boolean,
    OUT retryable              bigint,
    OUT retryable_capped       boolean,
    OUT oldest_waiting_seconds double precision,
    OUT workers                bigint,
    OUT paused                 boolean
) RETURNS SETOF record
LANGUAGE sql STABLE SET jit = off AS $$
    WITH known AS (
        SELECT queue, workers, paused_at IS NOT NULL AS paused FROM postrider.queues
    ),
    failed AS (
        -- Uses a separate index, because retried jobs are at the end of a long backlog.
        SELECT queue, running FROM postrider.job WHERE failed_at IS NOT NULL ORDER BY failed_at DESC, id DESC LIMIT 20002
    ),
    retryable AS (
        SELECT queue, count(*) FILTER (WHERE NOT running) AS retryable FROM failed GROUP BY queue
    ),
    counted AS (
        SELECT known.queue, known.workers, known.paused,
               sum(due.available) AS available, sum(due.running) AS running,
               sum(due.retryable) + sum(later.retryable) AS retryable,
               sum(later.scheduled) AS scheduled,
               min(due.oldest) AS oldest,
               bool_or(due.walked > 20001) AS due_cut,
               bool_or(later.walked > 20001) AS later_cut
        FROM known
        CROSS JOIN (VALUES (1::smallint), (2::smallint), (3::smallint), (4::smallint)) AS p (priority)
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE NOT running AND failed_at IS NULL) AS available,
                   count(*) FILTER (WHERE running) AS running,
                   count(*) FILTER (WHERE NOT running AND failed_at IS NOT NULL) AS retryable,
                   min(run_at) FILTER (WHERE NOT running) AS oldest,
                   count(*) AS walked
            FROM (SELECT running, failed_at, run_at FROM postrider.job
                  WHERE queue = known.queue AND priority = p.priority AND run_at <= now()
                  ORDER BY run_at LIMIT 20002) AS j) AS due
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE failed_at IS NULL) AS scheduled,
                   count(*) FILTER (WHERE failed_at IS NOT NULL) AS retryable,
                   count(*) AS walked
            FROM (SELECT failed_at FROM postrider.job
                  WHERE queue = known.queue AND priority = p.priority AND run_at > now()
                  ORDER BY run_at LIMIT 20002) AS j) AS later
        GROUP BY known.queue, known.workers, known.paused
    )
    SELECT postrider.readable(counted.queue),
           least(counted.available, 10000)::bigint, counted.due_cut OR counted.available > 10000,
           least(counted.running, 10000)::bigint, counted.running > 10000,
           least(counted.scheduled, 10000)::bigint, counted.later_cut OR counted.scheduled > 10000,
           least(all_failed.retryable, 10000)::bigint,
           (SELECT count(*) > 20001 FROM failed) OR all_failed.retryable > 10000,
           extract(epoch FROM now() - counted.oldest)::double precision,
           counted.workers, counted.paused
    FROM counted
    LEFT JOIN retryable ON retryable.queue = counted.queue
    CROSS JOIN LATERAL (SELECT greatest(counted.retryable, retryable.retryable, 0) AS retryable) AS all_failed
    ORDER BY counted.queue
$$;
COMMENT ON FUNCTION postrider.stats IS
    'Stats of every queue that has jobs, workers or settings. A count is exact up to 10,000. With *_capped, the true count may be higher.';
