-- Lets time pass until the next job of these kinds ($2) in these queues ($1) is due, but at most $3 (ms): all waiting jobs
-- are due earlier by as much. Returns the time that has passed (ms), and whether such a job is due.
--
-- Due times are computed in UTC, because a day of another zone may have 23 or 25 hours. A job that another transaction
-- has locked is left as it is.
WITH next AS (
    SELECT min(run_at) - statement_timestamp() AS due_in
    FROM postrider.job
    WHERE queue = ANY ($1::text[]) AND kind = ANY ($2::text[]) AND NOT running AND run_at > statement_timestamp()
),
passed AS (
    SELECT least(due_in, most) AS time, coalesce(due_in <= most, false) AS is_due
    FROM next, make_interval(secs => $3::double precision / 1000) AS most
),
moved AS (
    UPDATE postrider.job
    SET run_at = (run_at AT TIME ZONE 'UTC' - least(passed.time, run_at - statement_timestamp())) AT TIME ZONE 'UTC'
    FROM passed
    WHERE id IN (
        SELECT id FROM postrider.job WHERE NOT running AND run_at > statement_timestamp() FOR UPDATE SKIP LOCKED)
)
SELECT (extract(epoch FROM time) * 1000)::double precision AS passed_ms, is_due FROM passed
