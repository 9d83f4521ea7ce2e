-- Releases jobs that the database records as running on this worker ($1) but that the worker does not run. $2 and $3:
-- the ids and claim numbers that it runs. Either the claim is unanswered, so that its attempts never began, or the
-- database has lost an outcome. The attempt is not counted. Also compares the claim number, because an id may belong to
-- another job after a failover.
WITH returned AS (
    UPDATE postrider.job AS j
    SET running = false, attempt = j.attempt - 1
    WHERE j.running AND j.attempted_by = $1
      AND (j.id, j.claim) NOT IN (SELECT f.id, f.claim FROM unnest($2::bigint[], $3::integer[]) AS f (id, claim))
    RETURNING j.id, j.queue
)
SELECT id, postrider.announce_return(queue, now()) FROM returned
