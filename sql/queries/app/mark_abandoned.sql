-- Marks uploads that began over an hour ago and have not completed. No upload may take longer than 15 minutes.
UPDATE public.tablo_files AS f
SET state = 'deleting', orphaned_at = now(), orphan_cause = 'abandoned', delete_after = now()
FROM (
    SELECT id FROM public.tablo_files
    WHERE state = 'pending' AND created_at < now() - interval '1 hour'
    ORDER BY created_at, id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
) AS stale
WHERE f.id = stale.id
