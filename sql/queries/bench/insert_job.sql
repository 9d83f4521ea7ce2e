-- Baseline of enqueue: inserts the same row and does nothing else.
INSERT INTO postrider.job (kind, args, queue, priority, run_at, max_attempts)
VALUES ($1, $2, $3, $4, now(), $5)
RETURNING id
