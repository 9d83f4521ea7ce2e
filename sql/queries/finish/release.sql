-- Releases jobs without counting the attempt, due now or after a delay ($4, in ms), and notifies the workers.
WITH returned AS (
    UPDATE postrider.job AS j
    SET running = false, attempt = j.attempt - 1,
        run_at = CASE WHEN o.delay_ms > 0 THEN clock_timestamp() + make_interval(secs => o.delay_ms / 1000.0)
                      ELSE j.run_at END
    FROM unnest($1::bigint[], $2::integer[], $3::uuid[], $4::bigint[]) AS o (id, claim, worker, delay_ms)
    WHERE j.id = ANY ($1) AND j.id = o.id AND j.claim = o.claim AND j.attempted_by = o.worker AND j.running
    RETURNING j.id, j.claim, j.queue, j.run_at
)
SELECT id, claim, postrider.announce_return(queue, run_at) FROM returned
