-- Which of the running jobs $1 somebody asked to cancel.
SELECT id FROM postrider.job
WHERE id = ANY ($1::bigint[]) AND running AND attempted_by = $2 AND cancel_requested_at IS NOT NULL
