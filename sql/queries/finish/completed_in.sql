-- Returns those of the attempts that have completed their jobs, in their own transactions or in this one.
SELECT h.id, h.claim
FROM unnest($1::bigint[], $2::integer[], $3::uuid[]) AS o (id, claim, worker)
CROSS JOIN LATERAL (
    SELECT id, claim FROM postrider.job_history
    WHERE id = o.id AND claim = o.claim AND attempted_by = o.worker AND state = 'completed'
    LIMIT 1) AS h
