-- Claims due jobs of several queues ($1), as many of each as it has free slots ($2), of the kinds
-- that this worker ($4) knows ($3): the most urgent first, then by due time, then by id.
--
-- Always answers with at least one row: the database's clock (ms since 1970), and in how many ms
-- the next waiting job is due.
--
-- Each priority is a scan of its own of job_claim, so that nothing is ever sorted, and a million
-- jobs scheduled at one priority cost the others nothing. The rows are updated through their
-- ctid: a row that another claimer changed in between no longer has it, and is left alone.
WITH wanted AS MATERIALIZED (
    SELECT w.queue, w.slots
    FROM unnest($1::text[], $2::bigint[]) AS w (queue, slots)
    -- A worker that was given up must not claim.
    WHERE EXISTS (SELECT FROM postrider.worker WHERE id = $4)
      AND NOT EXISTS (SELECT FROM postrider.queue AS q WHERE q.name = w.queue AND q.paused_at IS NOT NULL)
),
claimed AS (
    UPDATE postrider.job AS j
    SET running = true, attempt = j.attempt + 1, claim = j.claim + 1, attempted_by = $4, attempted_at = now()
    WHERE j.ctid = ANY (ARRAY(
        SELECT picked.ctid
        FROM wanted
        CROSS JOIN LATERAL (
            SELECT due.ctid
            FROM (
                SELECT urgent.ctid FROM (
                    SELECT ctid FROM postrider.job
                    WHERE queue = wanted.queue AND priority = 1 AND run_at <= now() AND NOT running AND kind = ANY ($3::text[])
                    ORDER BY run_at, id LIMIT wanted.slots FOR UPDATE SKIP LOCKED) AS urgent
                UNION ALL
                SELECT normal.ctid FROM (
                    SELECT ctid FROM postrider.job
                    WHERE queue = wanted.queue AND priority = 2 AND run_at <= now() AND NOT running AND kind = ANY ($3::text[])
                    ORDER BY run_at, id LIMIT wanted.slots FOR UPDATE SKIP LOCKED) AS normal
                UNION ALL
                SELECT low.ctid FROM (
                    SELECT ctid FROM postrider.job
                    WHERE queue = wanted.queue AND priority = 3 AND run_at <= now() AND NOT running AND kind = ANY ($3::text[])
                    ORDER BY run_at, id LIMIT wanted.slots FOR UPDATE SKIP LOCKED) AS low
                UNION ALL
                SELECT idle.ctid FROM (
                    SELECT ctid FROM postrider.job
                    WHERE queue = wanted.queue AND priority = 4 AND run_at <= now() AND NOT running AND kind = ANY ($3::text[])
                    ORDER BY run_at, id LIMIT wanted.slots FOR UPDATE SKIP LOCKED) AS idle
            ) AS due
            LIMIT wanted.slots
        ) AS picked))
    RETURNING j.id, j.queue, j.kind, j.priority, j.run_at, j.args, j.attempt, j.max_attempts, j.claim,
              j.cancel_requested_at IS NOT NULL AS cancel_requested
)
SELECT upcoming.database_ms, upcoming.next_due_ms, claimed.*
FROM (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::double precision AS database_ms,
           (extract(epoch FROM min(next.run_at) - clock_timestamp()) * 1000)::double precision AS next_due_ms
    FROM unnest($1::text[]) AS w (queue)
    CROSS JOIN (VALUES (1::smallint), (2::smallint), (3::smallint), (4::smallint)) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT run_at FROM postrider.job
        WHERE queue = w.queue AND priority = p.priority AND run_at > now()
        ORDER BY run_at, id LIMIT 1) AS next
) AS upcoming
LEFT JOIN claimed ON true
