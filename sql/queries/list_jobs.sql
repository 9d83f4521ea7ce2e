-- Jobs with the newest id first; $1 state, $2 kind, $3 queue (null: any), $4 only ids below, $5 how
-- many. Each table is read by id, and only where jobs of that state can be: the view would work out
-- the state of every row first. A condition whose $1 is another state is gone once planned. Each
-- part says that it wants 100 rows at least, because for a few the planner would bet on meeting
-- them soon in the order of ids, and walk a million rows where they lie together further down.
(
    SELECT j.id, j.kind, j.queue, j.priority::integer AS priority,
           CASE WHEN j.running THEN 'running'
                WHEN j.failed_at IS NOT NULL THEN 'retryable'
                WHEN j.run_at > now() THEN 'scheduled'
                ELSE 'available' END AS state,
           j.args, j.attempt, j.max_attempts, j.run_at, j.created_at, j.attempted_at, j.attempted_by,
           NULL::timestamptz AS finished_at, j.errors -> -1 ->> 'error' AS error,
           coalesce(j.errors, '[]') AS errors
    FROM postrider.job AS j
    WHERE coalesce($1::text, '') NOT IN ('completed', 'cancelled', 'discarded')
      AND ($1::text IS NULL OR j.running = ($1 = 'running'))
      AND (coalesce($1::text, '') <> 'retryable' OR j.failed_at IS NOT NULL)
      AND (coalesce($1::text, '') NOT IN ('scheduled', 'available') OR j.failed_at IS NULL)
      AND (coalesce($1::text, '') <> 'scheduled' OR j.run_at > now())
      AND (coalesce($1::text, '') <> 'available' OR j.run_at <= now())
      AND ($2::text IS NULL OR j.kind = $2)
      AND ($3::text IS NULL OR j.queue = $3)
      AND ($4::bigint IS NULL OR j.id < $4)
    ORDER BY j.id DESC
    LIMIT greatest($5, 100)
)
UNION ALL
(
    SELECT h.id, h.kind, h.queue, h.priority::integer,
           h.state,
           h.args, h.attempt, h.max_attempts, h.run_at, h.created_at, h.attempted_at, h.attempted_by,
           h.finished_at, h.errors -> -1 ->> 'error',
           coalesce(h.errors, '[]')
    FROM postrider.job_history AS h
    WHERE coalesce($1::text, 'completed') IN ('completed', 'cancelled', 'discarded')
      AND ($1::text IS NULL OR h.state = $1)
      AND ($2::text IS NULL OR h.kind = $2)
      AND ($3::text IS NULL OR h.queue = $3)
      AND ($4::bigint IS NULL OR h.id < $4)
    ORDER BY h.id DESC
    LIMIT greatest($5, 100)
)
ORDER BY id DESC
LIMIT $5
