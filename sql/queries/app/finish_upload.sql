-- Makes the file available. Returns no row if a cleanup has marked the upload as abandoned.
UPDATE public.tablo_files SET state = 'ready'
WHERE id = $1 AND state = 'pending'
RETURNING id, tablo_id, name, s3_key, size, created_at
