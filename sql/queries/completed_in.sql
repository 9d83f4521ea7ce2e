-- Which of the attempts have completed their job, in a transaction of their own or in this one.
SELECT h.id
FROM unnest($1::bigint[], $2::integer[], $3::uuid[]) AS o (id, claim, worker)
CROSS JOIN LATERAL (
    SELECT id FROM postrider.job_history
    WHERE id = o.id AND claim = o.claim AND attempted_by = o.worker AND state = 'completed'
    LIMIT 1) AS h
