-- Claims due jobs of several queues ($1), at most so many of each ($2), of the kinds that this worker
-- ($4) knows ($3): the most urgent first, then by due time, then by id. Only those after the place
-- ($5, $6) from which to look, four for each queue: one a priority.
--
-- The last row is no job: it tells as of when this looked, the database's clock (ms since 1970), and
-- in how many ms the next waiting job is due.
--
-- Each priority is a scan of its own of job_claim, so that nothing is ever sorted, and a million
-- jobs scheduled at one priority cost the others nothing. The rows are updated through their
-- ctid: a row that another claimer changed in between no longer has it, and is left alone.
WITH wanted AS MATERIALIZED (
    SELECT w.queue, w.slots, w.number::integer * 4 AS last
    FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS w (queue, slots, number)
    -- A worker that was given up must not claim.
    WHERE EXISTS (SELECT FROM postrider.worker WHERE id = $4)
      AND NOT EXISTS (SELECT FROM postrider.queue AS q WHERE q.name = w.queue AND q.paused_at IS NOT NULL)
),
claimed AS (
    UPDATE postrider.job AS j
    SET running = true, attempted_by = $4, attempted_at = now(),
        -- What somebody wrote there by hand must not fail the claim of all others.
        attempt = least(j.attempt, 2147483646) + 1, claim = j.claim % 2147483647 + 1
    WHERE j.ctid = ANY (ARRAY(
        SELECT picked.ctid
        FROM wanted
        CROSS JOIN LATERAL (
            SELECT due.ctid
            FROM (
                SELECT urgent.ctid FROM (
                    SELECT ctid FROM postrider.job
                    WHERE queue = wanted.queue AND priority = 1
                      AND (run_at, id) > (($5::timestamptz[])[wanted.last - 3], ($6::bigint[])[wanted.last - 3])
                      AND run_at <= now() AND NOT running AND kind = ANY ($3::text[])
                    ORDER BY run_at, id LIMIT wanted.slots FOR UPDATE SKIP LOCKED) AS urgent
                UNION ALL
                SELECT normal.ctid FROM (
                    SELECT ctid FROM postrider.job
                    WHERE queue = wanted.queue AND priority = 2
                      AND (run_at, id) > (($5::timestamptz[])[wanted.last - 2], ($6::bigint[])[wanted.last - 2])
                      AND run_at <= now() AND NOT running AND kind = ANY ($3::text[])
                    ORDER BY run_at, id LIMIT wanted.slots FOR UPDATE SKIP LOCKED) AS normal
                UNION ALL
                SELECT low.ctid FROM (
                    SELECT ctid FROM postrider.job
                    WHERE queue = wanted.queue AND priority = 3
                      AND (run_at, id) > (($5::timestamptz[])[wanted.last - 1], ($6::bigint[])[wanted.last - 1])
                      AND run_at <= now() AND NOT running AND kind = ANY ($3::text[])
                    ORDER BY run_at, id LIMIT wanted.slots FOR UPDATE SKIP LOCKED) AS low
                UNION ALL
                SELECT idle.ctid FROM (
                    SELECT ctid FROM postrider.job
                    WHERE queue = wanted.queue AND priority = 4
                      AND (run_at, id) > (($5::timestamptz[])[wanted.last], ($6::bigint[])[wanted.last])
                      AND run_at <= now() AND NOT running AND kind = ANY ($3::text[])
                    ORDER BY run_at, id LIMIT wanted.slots FOR UPDATE SKIP LOCKED) AS idle
            ) AS due
            LIMIT wanted.slots
        ) AS picked))
    RETURNING j.id, j.claim, j.attempt, j.max_attempts,
              array_position($1::text[], j.queue) AS wish, array_position($3::text[], j.kind) AS kind,
              j.priority, j.run_at, j.args, j.cancel_requested_at IS NOT NULL AS cancel_requested,
              -- For how long (s) its latest worker has been dead, where it was not the first in a row.
              CASE WHEN j.losses > 1
                   THEN coalesce(extract(epoch FROM now())::double precision - extract(epoch FROM j.failed_at)::double precision, 0)
              END AS lost_for
)
SELECT claimed.*, NULL::double precision AS database_ms, NULL::double precision AS next_due_ms FROM claimed
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, now(), NULL, NULL, NULL,
       (extract(epoch FROM clock_timestamp()) * 1000)::double precision,
       (extract(epoch FROM min(next.run_at) - clock_timestamp()) * 1000)::double precision
FROM unnest($1::text[]) AS w (queue)
CROSS JOIN (VALUES (1::smallint), (2::smallint), (3::smallint), (4::smallint)) AS p (priority)
CROSS JOIN LATERAL (
    SELECT run_at FROM postrider.job
    WHERE queue = w.queue AND priority = p.priority AND run_at > now()
    ORDER BY run_at, id LIMIT 1) AS next
