-- Turns the file with this name into an orphan, so that a new file can have the name. Includes an orphan that would be
-- restored with its tablo.
UPDATE public.tablo_files
SET orphan_cause = 'superseded', orphaned_at = coalesce(orphaned_at, now()), delete_after = now()
WHERE tablo_id = $1 AND name = $2 AND state = 'ready' AND orphan_cause IS DISTINCT FROM 'superseded'
