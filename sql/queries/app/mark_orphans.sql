-- Marks orphans that are due, in pages of $4 from after ($2, $3), and with each all that are due
-- of its tablo: a tablo is never half marked, so that it comes back whole or not at all. Leaves
-- those alone that are orphans for less than $1 seconds. A file whose tablo is there again, put
-- back by somebody who did not know of the stamp, loses the stamp instead.
WITH page AS (
    SELECT id, tablo_id, delete_after
    FROM tablo_files
    WHERE state = 'ready' AND orphaned_at IS NOT NULL
      AND delete_after <= now() AND orphaned_at <= now() - make_interval(secs => $1)
      AND (delete_after, id) > ($2, $3)
    ORDER BY delete_after, id
    LIMIT $4
), due AS (
    SELECT f.id, f.orphan_cause,
           f.orphan_cause = 'tablo_deleted' AND EXISTS (SELECT FROM tablos AS t WHERE t.id = f.tablo_id) AS wanted
    FROM tablo_files AS f
    WHERE f.tablo_id IN (SELECT tablo_id FROM page)
      AND f.state = 'ready' AND f.orphaned_at IS NOT NULL
      AND f.delete_after <= now() AND f.orphaned_at <= now() - make_interval(secs => $1)
), moved AS (
    UPDATE tablo_files AS f
    SET state        = CASE WHEN due.wanted THEN f.state ELSE 'deleting' END,
        orphaned_at  = CASE WHEN due.wanted THEN NULL ELSE f.orphaned_at END,
        orphan_cause = CASE WHEN due.wanted THEN NULL ELSE f.orphan_cause END,
        delete_after = CASE WHEN due.wanted THEN NULL ELSE f.delete_after END
    FROM due
    WHERE f.id = due.id AND f.state = 'ready' AND f.orphan_cause = due.orphan_cause
    RETURNING due.wanted
)
SELECT page.delete_after AS last_time, page.id AS last_id,
       (SELECT count(*) FROM moved WHERE NOT wanted) AS marked,
       (SELECT count(*) FROM moved WHERE wanted) AS kept
FROM page ORDER BY page.delete_after DESC, page.id DESC LIMIT 1
