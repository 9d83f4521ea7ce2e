-- Claims at most $3 files marked for deletion, after id $2, for job $1. Skips files that another cleanup has claimed.
-- Includes files that an earlier attempt of this job has claimed.
UPDATE public.tablo_files AS f
SET claimed_by = $1, claimed_until = now() + interval '3 minutes'
FROM (
    SELECT id FROM public.tablo_files
    WHERE state = 'deleting' AND id > $2 AND delete_after <= now()
      AND (claimed_until IS NULL OR claimed_until <= now() OR claimed_by = $1)
    ORDER BY id
    LIMIT $3
    FOR UPDATE SKIP LOCKED
) AS free
WHERE f.id = free.id
RETURNING f.id, f.s3_key
