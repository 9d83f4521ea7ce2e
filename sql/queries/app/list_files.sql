-- Lists at most $2 files of a tablo, by name.
SELECT id, tablo_id, name, s3_key, size, created_at
FROM public.tablo_files
WHERE tablo_id = $1 AND state = 'ready' AND orphan_cause IS DISTINCT FROM 'superseded' AND orphaned_at IS NULL
ORDER BY name
LIMIT $2
