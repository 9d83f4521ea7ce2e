-- Until the transaction ends, prevents deletion of the tablo and completion of other uploads to it.
SELECT 1 FROM public.tablos WHERE id = $1 FOR NO KEY UPDATE
