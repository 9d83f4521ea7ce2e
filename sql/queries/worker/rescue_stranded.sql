-- Rescues stranded jobs: running jobs whose worker is not registered. Their claim was in flight when the worker was
-- declared dead, or they were far behind the front of their queue, or locked, or edited by hand. Also returns the
-- locked ones, for the next try.
--
-- The claim number identifies a stranded job: between the read and the lock, another session may release the job and a
-- live worker may claim it. The attempt has hardly begun, so its loss does not discard the job, even if it is the last
-- attempt.
--
-- A job that was claimed is due. So this reads the due jobs of each queue and priority, not the millions that may be
-- scheduled for later.
WITH RECURSIVE queues AS (
    (SELECT queue FROM postrider.job ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT j.queue FROM postrider.job AS j WHERE j.queue > queues.queue ORDER BY j.queue LIMIT 1)
    FROM queues
    WHERE queues.queue IS NOT NULL
),
stranded AS MATERIALIZED (
    SELECT due.*
    FROM queues
    CROSS JOIN (VALUES (1::smallint), (2::smallint), (3::smallint), (4::smallint)) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT j.id, j.claim, j.kind, j.attempt, j.max_attempts, j.attempted_by
        FROM postrider.job AS j
        WHERE j.queue = queues.queue AND j.priority = p.priority AND j.run_at <= now() AND j.running
        -- Keeps the scan inside, so that the index finds its rows.
        OFFSET 0) AS due
    WHERE NOT EXISTS (SELECT FROM postrider.worker AS w WHERE w.id = due.attempted_by)
),
taken AS MATERIALIZED (
    SELECT j.id, j.claim FROM postrider.job AS j JOIN stranded USING (id, claim)
    WHERE j.id = ANY (ARRAY(SELECT id FROM stranded)) AND j.running
    ORDER BY j.id
    FOR UPDATE OF j SKIP LOCKED
),
returned AS (
    UPDATE postrider.job AS j
    SET running = false, failed_at = now(), crash_count = least(j.crash_count + 1, 32000),
        errors = postrider.append_error(j.errors, j.attempt, 'attempt lost: worker ' || coalesce(j.attempted_by::text, 'unknown') || ' is gone', NULL)
    FROM taken
    WHERE j.id = ANY (ARRAY(SELECT id FROM taken)) AND j.id = taken.id AND j.claim = taken.claim AND j.running
    RETURNING j.id, j.queue
)
SELECT stranded.id, postrider.readable(stranded.kind) AS kind, stranded.attempt::integer, stranded.max_attempts::integer, stranded.attempted_by,
       'attempt lost: its worker is gone' AS error, false AS discarded, returned.id IS NOT NULL AS is_returned,
       CASE WHEN returned.id IS NOT NULL THEN postrider.announce_return(returned.queue, now()) END AS announced
FROM stranded LEFT JOIN returned ON returned.id = stranded.id
