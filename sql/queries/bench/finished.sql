-- What became of the jobs: how many ended, how many of them are different jobs, how many completed, and
-- by the database's clock how long it took from the first claim, and from the first insert.
SELECT count(*) AS ends,
       count(DISTINCT id) AS distinct_ids,
       count(*) FILTER (WHERE state = 'completed') AS completed,
       coalesce(extract(epoch FROM max(finished_at) - min(attempted_at)), 0)::double precision AS from_first_claim,
       coalesce(extract(epoch FROM max(finished_at) - min(created_at)), 0)::double precision AS from_first_insert
FROM postrider.job_history
