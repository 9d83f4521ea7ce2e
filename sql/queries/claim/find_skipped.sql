-- Finds the first skipped job for each queue ($1) and priority: a claimable job of the kinds $2 behind the cursors ($3,
-- $4), four per queue.
SELECT w.number::integer AS queue, p.priority::integer AS priority, behind.run_at, behind.id
FROM unnest($1::text[]) WITH ORDINALITY AS w (queue, number)
CROSS JOIN (VALUES (1::smallint), (2::smallint), (3::smallint), (4::smallint)) AS p (priority)
CROSS JOIN LATERAL (
    SELECT run_at, id FROM postrider.job
    WHERE queue = w.queue AND priority = p.priority
      AND (run_at, id + 0) <= (($3::timestamptz[])[(w.number - 1) * 4 + p.priority], ($4::bigint[])[(w.number - 1) * 4 + p.priority])
      AND run_at <= now() AND NOT running AND kind = ANY ($2::text[])
    ORDER BY run_at, id + 0 LIMIT 1) AS behind
