-- From here on the file is served. No row where a cleanup has taken the upload for abandoned.
UPDATE tablo_files SET state = 'ready'
WHERE id = $1 AND state = 'pending'
RETURNING id, tablo_id, name, s3_key, size, created_at
