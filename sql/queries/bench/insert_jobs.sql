-- Baseline of enqueue_many.
INSERT INTO postrider.job (kind, args, queue, priority, run_at, max_attempts)
SELECT t.kind, t.args, t.queue, t.priority, now(), t.max_attempts
FROM unnest($1::text[], $2::jsonb[], $3::text[], $4::smallint[], $5::smallint[])
     AS t (kind, args, queue, priority, max_attempts)
RETURNING id
