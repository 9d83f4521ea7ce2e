SELECT id, kind, queue, priority, state, args, attempt, max_attempts, run_at, created_at,
       attempted_at, attempted_by, finished_at, error, errors, output
FROM postrider.find_job($1)
