-- Returns those of the jobs (ids $1, created at $2) that no longer exist. Reads by id, whatever the settings of the
-- session: a join planned for few rows would read the whole table.
SELECT o.id, o.created_at
FROM unnest($1::bigint[], $2::timestamptz[]) AS o (id, created_at)
LEFT JOIN (SELECT id, created_at FROM postrider.job WHERE id = ANY ($1::bigint[])) AS j USING (id, created_at)
WHERE j.id IS NULL
