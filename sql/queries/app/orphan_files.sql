-- Stamps the files of a tablo that is being deleted. $2: the grace period in seconds. Skips unfinished uploads: they
-- will fail because the tablo does not exist, or be marked as abandoned.
UPDATE public.tablo_files
SET orphaned_at = now(), orphan_cause = 'tablo_deleted', delete_after = now() + make_interval(secs => $2)
WHERE tablo_id = $1 AND state = 'ready' AND orphan_cause IS DISTINCT FROM 'superseded' AND orphaned_at IS NULL
