-- Retries failed jobs after a delay ($4, in ms), each only if its fence holds. A job whose cancel was requested is
-- due now, so that the next claim cancels it.
UPDATE postrider.job AS j
SET running = false,
    failed_at = clock_timestamp(), crash_count = 0, solo_crash_count = 0,
    run_at = CASE WHEN j.cancel_requested_at IS NULL
                  THEN clock_timestamp() + make_interval(secs => o.delay_ms / 1000.0)
                  ELSE clock_timestamp() END,
    errors = postrider.append_error(j.errors, j.attempt, o.error, o.trace)
FROM unnest($1::bigint[], $2::integer[], $3::uuid[], $4::bigint[], $5::text[], $6::text[])
    AS o (id, claim, worker, delay_ms, error, trace)
WHERE j.id = ANY ($1) AND j.id = o.id AND j.claim = o.claim AND j.attempted_by = o.worker AND j.running
RETURNING j.id, j.claim, j.run_at
