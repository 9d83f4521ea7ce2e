-- After a claim whose answer was lost: returns what the database says this worker ($1) runs but
-- it does not ($2 is what it runs). The attempts never began, so they are unspent.
WITH returned AS (
    UPDATE postrider.job AS j
    SET running = false, attempt = j.attempt - 1
    WHERE j.running AND j.attempted_by = $1 AND j.id <> ALL ($2::bigint[])
    RETURNING j.id, j.queue
)
SELECT id, postrider.announce_return(queue, now()) FROM returned
