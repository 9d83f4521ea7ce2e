-- Returns whether a tablo has lost files or may be losing them now.
SELECT EXISTS (
    SELECT FROM public.tablo_files
    WHERE tablo_id = $1 AND orphaned_at IS NOT NULL AND state = 'deleting' AND orphan_cause = 'tablo_deleted')
