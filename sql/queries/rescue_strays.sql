-- Takes back running jobs whose worker is not registered: claims that were still under way when
-- their worker was given up, or rows edited by hand.
--
-- A stray is told by its claim: while this waits for the row, another may return the job and a live
-- worker claim it. Its attempt has hardly begun, so the last one is not held against it.
WITH stray AS MATERIALIZED (
    SELECT j.id, j.claim
    FROM postrider.job AS j
    WHERE j.running AND NOT EXISTS (SELECT FROM postrider.worker AS w WHERE w.id = j.attempted_by)
    ORDER BY j.id
),
returned AS (
    UPDATE postrider.job AS j
    SET running = false, failed_at = now(), losses = least(j.losses + 1, 32000),
        errors = postrider.append_error(j.errors, j.attempt, 'attempt lost: worker ' || coalesce(j.attempted_by::text, 'unknown') || ' is gone', NULL)
    FROM stray
    WHERE j.id = stray.id AND j.claim = stray.claim AND j.running
    RETURNING j.id, j.kind, j.attempt, j.max_attempts, j.attempted_by, j.queue
)
SELECT id, kind, attempt, max_attempts, attempted_by, false AS discarded, postrider.announce_return(queue, now()) AS announced FROM returned
