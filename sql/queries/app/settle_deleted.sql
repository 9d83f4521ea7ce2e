-- The objects of these files are gone: the rows follow. That of an abandoned upload stays a day,
-- for what may still land under its key. The look at delete_after keeps a second cleanup, with the
-- same file in its hands, from taking the row at once that the first has just kept.
WITH gone AS (
    SELECT id, orphan_cause = 'abandoned' AND swept_at IS NULL AS stays
    FROM tablo_files
    WHERE id = ANY ($1) AND state = 'deleting' AND delete_after <= now()
    ORDER BY id
    FOR UPDATE
), kept AS (
    UPDATE tablo_files AS f
    SET swept_at = now(), delete_after = now() + interval '1 day', claimed_by = NULL, claimed_until = NULL
    FROM gone
    WHERE f.id = gone.id AND gone.stays
)
DELETE FROM tablo_files AS f USING gone WHERE f.id = gone.id AND NOT gone.stays
