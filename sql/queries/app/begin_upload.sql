-- The row that stands for an object before there is one. No row where there is no tablo.
INSERT INTO tablo_files (id, tablo_id, name, s3_key, size)
SELECT $1, id, $3, $4, $5 FROM tablos WHERE id = $2
