-- Returns those of the running jobs $1 that are to be cancelled.
SELECT id, claim FROM postrider.job
WHERE id = ANY ($1::bigint[]) AND running AND attempted_by = $2 AND cancel_requested_at IS NOT NULL
