-- Marked files for job $1 to delete, from after id $2, at most $3. What another cleanup has claimed
-- is left to it; what this job's own earlier attempt had claimed is taken again at once.
UPDATE tablo_files AS f
SET claimed_by = $1, claimed_until = now() + interval '3 minutes'
FROM (
    SELECT id FROM tablo_files
    WHERE state = 'deleting' AND id > $2 AND delete_after <= now()
      AND (claimed_until IS NULL OR claimed_until <= now() OR claimed_by = $1)
    ORDER BY id
    LIMIT $3
    FOR UPDATE SKIP LOCKED
) AS free
WHERE f.id = free.id
RETURNING f.id, f.s3_key
