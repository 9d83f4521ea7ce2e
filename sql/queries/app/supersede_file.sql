-- Makes an orphan of what has the name, so that another file can have it; also of a file that
-- waits for its tablo to come back.
UPDATE tablo_files
SET orphan_cause = 'superseded', orphaned_at = coalesce(orphaned_at, now()), delete_after = now()
WHERE tablo_id = $1 AND name = $2 AND state = 'ready' AND orphan_cause IS DISTINCT FROM 'superseded'
