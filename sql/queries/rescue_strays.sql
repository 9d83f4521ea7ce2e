-- Takes back running jobs whose worker is not registered: claims that were still under way when
-- their worker was given up, or rows edited by hand.
WITH returned AS (
    UPDATE postrider.job AS j
    SET running = false, failed_at = now(), losses = least(j.losses + 1, 32000),
        errors = postrider.append_error(j.errors, j.attempt, 'attempt lost: worker ' || coalesce(j.attempted_by::text, 'unknown') || ' is gone', NULL)
    WHERE j.running AND NOT EXISTS (SELECT FROM postrider.worker AS w WHERE w.id = j.attempted_by)
    RETURNING j.id, j.kind, j.attempt, j.attempted_by, j.queue
)
SELECT id, kind, attempt, attempted_by, postrider.announce(queue, now()) AS announced FROM returned
