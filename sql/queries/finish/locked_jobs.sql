-- Returns those of the jobs that are locked.
SELECT id FROM postrider.job WHERE id = ANY ($1::bigint[])
EXCEPT
SELECT id FROM (SELECT id FROM postrider.job WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE SKIP LOCKED) AS free
