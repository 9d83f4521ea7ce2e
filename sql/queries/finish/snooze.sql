-- Snoozes jobs for a delay ($4, in ms) without counting the attempt, each only if its fence holds.
UPDATE postrider.job AS j
SET running = false,
    failed_at = NULL, crash_count = 0, solo_crash_count = 0,
    attempt = j.attempt - 1,
    run_at = CASE WHEN j.cancel_requested_at IS NULL
                  THEN clock_timestamp() + make_interval(secs => o.delay_ms / 1000.0)
                  ELSE clock_timestamp() END
FROM unnest($1::bigint[], $2::integer[], $3::uuid[], $4::bigint[]) AS o (id, claim, worker, delay_ms)
WHERE j.id = ANY ($1) AND j.id = o.id AND j.claim = o.claim AND j.attempted_by = o.worker AND j.running
RETURNING j.id, j.claim, j.run_at
