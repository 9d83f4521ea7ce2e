-- A file to be served. The tablo is looked at too, because an orphan may not have its stamp yet.
SELECT f.id, f.tablo_id, f.name, f.s3_key, f.size, f.created_at
FROM tablo_files AS f
JOIN tablos AS t ON t.id = f.tablo_id
WHERE f.tablo_id = $1 AND f.name = $2
  AND f.state = 'ready' AND f.orphan_cause IS DISTINCT FROM 'superseded' AND f.orphaned_at IS NULL
