-- Puts failed jobs back with a delay ($4, in ms), each only if its fence still holds. A job that
-- somebody asked to cancel comes back at once, to be cancelled by whoever claims it.
UPDATE postrider.job AS j
SET running = false,
    failed_at = clock_timestamp(), losses = 0, lone_losses = 0,
    run_at = CASE WHEN j.cancel_requested_at IS NULL
                  THEN clock_timestamp() + make_interval(secs => o.delay_ms / 1000.0)
                  ELSE clock_timestamp() END,
    errors = postrider.append_error(j.errors, j.attempt, o.error, o.trace)
FROM unnest($1::bigint[], $2::integer[], $3::uuid[], $4::bigint[], $5::text[], $6::text[])
    AS o (id, claim, worker, delay_ms, error, trace)
WHERE j.id = ANY ($1) AND j.id = o.id AND j.claim = o.claim AND j.attempted_by = o.worker AND j.running
RETURNING j.id, j.run_at
