-- Returns jobs that were cut off, due at once and with their attempt unspent, and tells the others.
WITH returned AS (
    UPDATE postrider.job AS j
    SET running = false, attempt = j.attempt - 1
    FROM unnest($1::bigint[], $2::integer[], $3::uuid[]) AS o (id, claim, worker)
    WHERE j.id = ANY ($1) AND j.id = o.id AND j.claim = o.claim AND j.attempted_by = o.worker AND j.running
    RETURNING j.id, j.queue
)
SELECT id, postrider.announce_return(queue, now()) FROM returned
