-- Stamps what a tablo carried when it is deleted; $2 is the grace in seconds. Uploads under way
-- are left: they will find the tablo gone, or be taken for abandoned.
UPDATE tablo_files
SET orphaned_at = now(), orphan_cause = 'tablo_deleted', delete_after = now() + make_interval(secs => $2)
WHERE tablo_id = $1 AND state = 'ready' AND orphan_cause IS DISTINCT FROM 'superseded' AND orphaned_at IS NULL
