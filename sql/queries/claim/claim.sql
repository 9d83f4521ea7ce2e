-- Claims due jobs of several queues ($1), at most $2 per queue, of the kinds ($3) that this worker ($4) handles, by
-- priority, then due time, then id. Claims only jobs after the cursors ($5, $6), four per queue: one per priority.
--
-- Large args stay in the database until their job starts (args_of): a thousand of them would not fit into memory.
--
-- The last row is not a job. It contains the time of the claim (run_at), the database's clock (ms since 1970), and the
-- time until the next waiting job is due (ms).
--
-- Each priority is a separate scan of job_claim, so that nothing is sorted, and a million jobs scheduled at one
-- priority do not slow down the others. Rows are updated by ctid: a row that another claim changed in between has a new
-- ctid and is skipped.
--
-- In a turn, the claim runs without FOR UPDATE SKIP LOCKED (src/store/claim.rs). Then it may wait for a transaction that
-- changes a row. The conditions after the ctid are for the row that this transaction leaves: older releases of Postgres do
-- not compare its ctid again. They match no index, so that the plan cannot use one.
WITH wanted AS MATERIALIZED (
    SELECT w.queue, w.slots, w.number::integer * 4 AS last
    FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS w (queue, slots, number)
    -- A worker that was declared dead must not claim.
    WHERE EXISTS (SELECT FROM postrider.worker WHERE id = $4)
      AND NOT EXISTS (SELECT FROM postrider.queue AS q WHERE q.name = w.queue AND q.paused_at IS NOT NULL)
),
claimed AS (
    UPDATE postrider.job AS j
    SET running = true, attempted_by = $4, attempted_at = statement_timestamp(),
        -- A value edited by hand must not fail the whole claim.
        attempt = least(j.attempt, 32766::smallint) + 1::smallint, claim = j.claim % 2147483647 + 1
    WHERE j.ctid = ANY (ARRAY(
        SELECT picked.ctid
        FROM wanted
        CROSS JOIN LATERAL (
            SELECT due.ctid
            FROM (
                SELECT urgent.ctid FROM (
                    SELECT ctid FROM postrider.job
                    WHERE queue = wanted.queue AND priority = 1
                      AND (run_at, id + 0) > (($5::timestamptz[])[wanted.last - 3], ($6::bigint[])[wanted.last - 3])
                      AND run_at <= statement_timestamp() AND NOT running AND kind = ANY ($3::text[])
                    ORDER BY run_at, id + 0 LIMIT wanted.slots FOR UPDATE SKIP LOCKED) AS urgent
                UNION ALL
                SELECT normal.ctid FROM (
                    SELECT ctid FROM postrider.job
                    WHERE queue = wanted.queue AND priority = 2
                      AND (run_at, id + 0) > (($5::timestamptz[])[wanted.last - 2], ($6::bigint[])[wanted.last - 2])
                      AND run_at <= statement_timestamp() AND NOT running AND kind = ANY ($3::text[])
                    ORDER BY run_at, id + 0 LIMIT wanted.slots FOR UPDATE SKIP LOCKED) AS normal
                UNION ALL
                SELECT low.ctid FROM (
                    SELECT ctid FROM postrider.job
                    WHERE queue = wanted.queue AND priority = 3
                      AND (run_at, id + 0) > (($5::timestamptz[])[wanted.last - 1], ($6::bigint[])[wanted.last - 1])
                      AND run_at <= statement_timestamp() AND NOT running AND kind = ANY ($3::text[])
                    ORDER BY run_at, id + 0 LIMIT wanted.slots FOR UPDATE SKIP LOCKED) AS low
                UNION ALL
                SELECT idle.ctid FROM (
                    SELECT ctid FROM postrider.job
                    WHERE queue = wanted.queue AND priority = 4
                      AND (run_at, id + 0) > (($5::timestamptz[])[wanted.last], ($6::bigint[])[wanted.last])
                      AND run_at <= statement_timestamp() AND NOT running AND kind = ANY ($3::text[])
                    ORDER BY run_at, id + 0 LIMIT wanted.slots FOR UPDATE SKIP LOCKED) AS idle
            ) AS due
            LIMIT wanted.slots
        ) AS picked))
      AND NOT j.running AND (j.run_at <= statement_timestamp()) IS TRUE
    RETURNING j.id, j.claim, j.attempt, j.max_attempts,
              array_position($1::text[], j.queue) AS request, array_position($3::text[], j.kind) AS kind,
              j.priority, j.run_at, CASE WHEN pg_column_size(j.args) <= 2048 THEN j.args END AS args,
              j.cancel_requested_at IS NOT NULL AS cancel_requested,
              -- Seconds since the job's last worker was declared dead, if crash_count > 1.
              CASE WHEN j.crash_count > 1
                   THEN coalesce(extract(epoch FROM statement_timestamp())::double precision - extract(epoch FROM j.failed_at)::double precision, 0)
              END AS since_crash,
              -- With the id, distinguishes the job from a lost one whose id was assigned again.
              j.created_at
)
SELECT claimed.*, NULL::double precision AS database_ms, NULL::double precision AS next_due_ms FROM claimed
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, statement_timestamp(), NULL, NULL, NULL, NULL,
       (extract(epoch FROM clock_timestamp()) * 1000)::double precision,
       (extract(epoch FROM min(next.run_at) - clock_timestamp()) * 1000)::double precision
FROM unnest($1::text[]) AS w (queue)
CROSS JOIN (VALUES (1::smallint), (2::smallint), (3::smallint), (4::smallint)) AS p (priority)
CROSS JOIN LATERAL (
    SELECT run_at FROM postrider.job
    WHERE queue = w.queue AND priority = p.priority AND run_at > statement_timestamp()
    ORDER BY run_at LIMIT 1) AS next
