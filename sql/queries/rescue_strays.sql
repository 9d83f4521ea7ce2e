-- Takes back running jobs whose worker is not registered: claims that were still under way when
-- their worker was given up, jobs far behind the front of their queue or locked at the time, rows
-- edited by hand. Answers also with those that somebody has locked, which are left for the next time.
--
-- A stray is told by its claim: between the look and the lock another may return the job and a live
-- worker claim it. Its attempt has hardly begun, so the last one is not held against it.
WITH stray AS MATERIALIZED (
    SELECT j.id, j.claim, j.kind, j.attempt, j.max_attempts, j.attempted_by
    FROM postrider.job AS j
    WHERE j.running AND NOT EXISTS (SELECT FROM postrider.worker AS w WHERE w.id = j.attempted_by)
),
taken AS MATERIALIZED (
    SELECT j.id, j.claim FROM postrider.job AS j JOIN stray USING (id, claim)
    WHERE j.running
    ORDER BY j.id
    FOR UPDATE OF j SKIP LOCKED
),
returned AS (
    UPDATE postrider.job AS j
    SET running = false, failed_at = now(), losses = least(j.losses + 1, 32000),
        errors = postrider.append_error(j.errors, j.attempt, 'attempt lost: worker ' || coalesce(j.attempted_by::text, 'unknown') || ' is gone', NULL)
    FROM taken
    WHERE j.id = taken.id AND j.claim = taken.claim AND j.running
    RETURNING j.id, j.queue
)
SELECT stray.id, stray.kind, stray.attempt, stray.max_attempts, stray.attempted_by,
       'attempt lost: its worker is gone' AS error, false AS discarded,
       CASE WHEN returned.id IS NULL THEN false ELSE postrider.announce_return(returned.queue, now()) END AS announced
FROM stray LEFT JOIN returned ON returned.id = stray.id
