-- Jobs with the newest id first; $1 state, $2 kind, $3 queue (null: any), $4 only ids below, $5 how many.
SELECT id, kind, queue, priority, state, args, attempt, max_attempts, run_at, created_at,
       attempted_at, attempted_by, finished_at, error, errors
FROM postrider.jobs
WHERE ($1::text IS NULL OR state = $1)
  AND ($2::text IS NULL OR kind = $2)
  AND ($3::text IS NULL OR queue = $3)
  AND ($4::bigint IS NULL OR id < $4)
ORDER BY id DESC
LIMIT $5
