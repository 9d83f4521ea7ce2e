-- Finds a file to serve. Also checks the tablo, because an orphan may not be stamped yet.
SELECT f.id, f.tablo_id, postrider.readable(f.name) AS name, postrider.readable(f.s3_key) AS s3_key, f.size, f.created_at
FROM public.tablo_files AS f
JOIN public.tablos AS t ON t.id = f.tablo_id
WHERE f.tablo_id = $1 AND f.name = $2
  AND f.state = 'ready' AND f.orphan_cause IS DISTINCT FROM 'superseded' AND f.orphaned_at IS NULL
