-- For an upload whose object exists but whose tablo no longer does.
UPDATE public.tablo_files
SET state = 'ready', orphan_cause = 'superseded', orphaned_at = now(), delete_after = now()
WHERE id = $1 AND state = 'pending'
