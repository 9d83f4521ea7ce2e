-- Inserts the row before the object exists. Inserts nothing if the tablo does not exist.
INSERT INTO public.tablo_files (id, tablo_id, name, s3_key, size)
SELECT $1, id, $3, $4, $5 FROM public.tablos WHERE id = $2
