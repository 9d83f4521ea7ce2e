-- The object is there, but its tablo is not any more.
UPDATE tablo_files
SET state = 'ready', orphan_cause = 'superseded', orphaned_at = now(), delete_after = now()
WHERE id = $1 AND state = 'pending'
