-- Finished jobs: rows, distinct ids, completed jobs and, by the database's clock, the time from the first claim and
-- from the first insert to the last finish.
SELECT count(*) AS ends,
       count(DISTINCT id) AS distinct_ids,
       count(*) FILTER (WHERE state = 'completed') AS completed,
       coalesce(extract(epoch FROM max(finished_at) - min(attempted_at)), 0)::double precision AS from_first_claim,
       coalesce(extract(epoch FROM max(finished_at) - min(created_at)), 0)::double precision AS from_first_insert
FROM postrider.job_history
