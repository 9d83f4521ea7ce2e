-- Lists at most $2 files of a tablo, by name.
SELECT f.id, f.tablo_id, postrider.readable(f.name) AS name, postrider.readable(f.s3_key) AS s3_key, f.size, f.created_at
FROM public.tablo_files AS f
WHERE f.tablo_id = $1 AND f.state = 'ready' AND f.orphan_cause IS DISTINCT FROM 'superseded' AND f.orphaned_at IS NULL
ORDER BY f.name
LIMIT $2
