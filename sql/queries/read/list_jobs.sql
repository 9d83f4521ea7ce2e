-- Jobs by descending id. $1 state, $2 kind, $3 queue (null: any), $4 only lower ids, $5 limit. Reads each table by id,
-- and only a table that can contain jobs in the state: the view would compute the state of every row. Planning removes
-- the conditions on another $1. Each part has a limit of at least 100: for a few rows the planner would expect to find
-- them early in id order, and read a million rows if they are clustered farther down.
(
    SELECT j.id, postrider.readable(j.kind) AS kind, postrider.readable(j.queue) AS queue, j.priority::integer AS priority,
           CASE WHEN j.running THEN 'running'
                WHEN j.failed_at IS NOT NULL THEN 'retryable'
                WHEN j.run_at > now() THEN 'scheduled'
                ELSE 'available' END AS state,
           postrider.readable(j.args) AS args, j.attempt::integer AS attempt, j.max_attempts::integer AS max_attempts,
           j.run_at, j.created_at, j.attempted_at, j.attempted_by,
           NULL::timestamptz AS finished_at, postrider.readable(j.errors -> -1 ->> 'error') AS error,
           coalesce(postrider.readable(j.errors), '[]') AS errors, NULL::jsonb AS output
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
    SELECT h.id, postrider.readable(h.kind), postrider.readable(h.queue), h.priority::integer,
           h.state::text,
           postrider.readable(h.args), h.attempt::integer, h.max_attempts::integer, h.run_at, h.created_at, h.attempted_at, h.attempted_by,
           h.finished_at, postrider.readable(h.errors -> -1 ->> 'error'),
           coalesce(postrider.readable(h.errors), '[]'), postrider.readable(h.output)
    FROM postrider.job_history AS h
    WHERE coalesce($1::text, 'completed') IN ('completed', 'cancelled', 'discarded')
      AND ($1::text IS NULL OR h.state = CASE WHEN $1 IN ('completed', 'cancelled', 'discarded') THEN $1::postrider.final_state END)
      AND ($2::text IS NULL OR h.kind = $2)
      AND ($3::text IS NULL OR h.queue = $3)
      AND ($4::bigint IS NULL OR h.id < $4)
    ORDER BY h.id DESC
    LIMIT greatest($5, 100)
)
ORDER BY id DESC
LIMIT $5
