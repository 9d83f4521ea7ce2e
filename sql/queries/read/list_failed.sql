-- Jobs whose latest finished attempt failed, newest failure first. Each part reads an index in order. $1 kind, $2
-- queue, $3 failed within this many seconds, $4/$5 include retryable / discarded, $6/$7 only after this (failed_at,
-- id), $8 limit.
(
    SELECT j.id, postrider.readable(j.kind) AS kind, postrider.readable(j.queue) AS queue, j.priority::integer AS priority,
           CASE WHEN j.running THEN 'running' ELSE 'retryable' END AS state,
           postrider.readable(j.args) AS args, j.attempt::integer AS attempt, j.max_attempts::integer AS max_attempts,
           j.run_at, j.created_at, j.attempted_at, j.attempted_by,
           NULL::timestamptz AS finished_at, postrider.readable(j.errors -> -1 ->> 'error') AS error,
           coalesce(postrider.readable(j.errors), '[]') AS errors, NULL::jsonb AS output, j.failed_at
    FROM postrider.job AS j
    WHERE $4 AND j.failed_at IS NOT NULL
      AND ($1::text IS NULL OR j.kind = $1)
      AND ($2::text IS NULL OR j.queue = $2)
      AND ($3::double precision IS NULL OR j.failed_at >= now() - make_interval(secs => $3))
      AND ($6::timestamptz IS NULL OR (j.failed_at, j.id) < ($6, $7::bigint))
    ORDER BY j.failed_at DESC, j.id DESC
    LIMIT $8
)
UNION ALL
(
    SELECT h.id, postrider.readable(h.kind), postrider.readable(h.queue), h.priority::integer,
           h.state::text,
           postrider.readable(h.args), h.attempt::integer, h.max_attempts::integer, h.run_at, h.created_at, h.attempted_at, h.attempted_by,
           h.finished_at, postrider.readable(h.errors -> -1 ->> 'error'),
           coalesce(postrider.readable(h.errors), '[]'), postrider.readable(h.output), h.finished_at AS failed_at
    FROM postrider.job_history AS h
    WHERE $5 AND h.state = 'discarded'
      AND ($1::text IS NULL OR h.kind = $1)
      AND ($2::text IS NULL OR h.queue = $2)
      AND ($3::double precision IS NULL OR h.finished_at >= now() - make_interval(secs => $3))
      AND ($6::timestamptz IS NULL OR (h.finished_at, h.id) < ($6, $7::bigint))
    ORDER BY h.finished_at DESC, h.id DESC
    LIMIT $8
)
ORDER BY failed_at DESC, id DESC
LIMIT $8
