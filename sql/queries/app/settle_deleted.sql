-- Deletes the rows of files whose objects are deleted. Keeps the row of an abandoned upload for a day, because an
-- object may still arrive under its key. The condition on delete_after prevents a second cleanup of the same file from
-- deleting the row that the first has just kept.
WITH gone AS (
    SELECT id, orphan_cause = 'abandoned' AND swept_at IS NULL AS stays
    FROM public.tablo_files
    WHERE id = ANY ($1) AND state = 'deleting' AND delete_after <= now()
    ORDER BY id
    FOR UPDATE
), kept AS (
    UPDATE public.tablo_files AS f
    SET swept_at = now(), delete_after = now() + interval '1 day', claimed_by = NULL, claimed_until = NULL
    FROM gone
    WHERE f.id = gone.id AND gone.stays
)
DELETE FROM public.tablo_files AS f USING gone WHERE f.id = gone.id AND NOT gone.stays
