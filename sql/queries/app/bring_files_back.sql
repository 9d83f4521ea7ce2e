-- Removes the orphan stamp from the files of a restored tablo.
UPDATE public.tablo_files
SET orphaned_at = NULL, orphan_cause = NULL, delete_after = NULL
WHERE tablo_id = $1 AND state = 'ready' AND orphan_cause = 'tablo_deleted' AND orphaned_at IS NOT NULL
