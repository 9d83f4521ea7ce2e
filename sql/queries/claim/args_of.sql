-- Returns the args of claimed jobs, each only if its fence (id $1, claim $2, worker $3) holds.
SELECT id, postrider.readable(args) AS args FROM postrider.job
WHERE id = ANY ($1::bigint[]) AND running
  AND (id, claim, attempted_by) IN (SELECT * FROM unnest($1::bigint[], $2::integer[], $3::uuid[]))
