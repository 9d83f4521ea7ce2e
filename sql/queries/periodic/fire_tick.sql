-- Advances next_tick of a kind ($1) from $2 to $3 and enqueues its job, atomically. Every worker tries that at each
-- tick. The one update that succeeds also enqueues the job.
WITH fired AS (
    UPDATE postrider.periodic SET next_tick = $3
    WHERE kind = $1 AND next_tick = $2 AND next_tick <= clock_timestamp()
    RETURNING kind
)
SELECT postrider.add_job(fired.kind, $4, $5, $6, now(), $7) AS id FROM fired
