-- Releases files whose objects could not be deleted, so that another cleanup can retry.
UPDATE public.tablo_files AS f
SET claimed_by = NULL, claimed_until = NULL
FROM (
    SELECT id FROM public.tablo_files WHERE id = ANY ($1) AND state = 'deleting' AND claimed_by = $2
    ORDER BY id
    FOR UPDATE
) AS ours
WHERE f.id = ours.id
