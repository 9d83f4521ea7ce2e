-- Marks due orphans, in pages of $4 after ($2, $3). A page includes all due orphans of its tablos: a tablo is never
-- half marked, so that it is restored completely or not at all. Skips files that have been orphans for less than $1
-- seconds. If the tablo exists again (restored by hand, without removing the stamp), removes the stamp instead.
WITH page AS (
    SELECT id, tablo_id, delete_after
    FROM public.tablo_files
    WHERE state = 'ready' AND orphaned_at IS NOT NULL
      AND delete_after <= now() AND orphaned_at <= now() - make_interval(secs => $1)
      AND (delete_after, id) > ($2, $3)
    ORDER BY delete_after, id
    LIMIT $4
), due AS (
    SELECT f.id, f.orphan_cause,
           f.orphan_cause = 'tablo_deleted' AND EXISTS (SELECT FROM public.tablos AS t WHERE t.id = f.tablo_id) AS wanted
    FROM public.tablo_files AS f
    WHERE f.tablo_id IN (SELECT tablo_id FROM page)
      AND f.state = 'ready' AND f.orphaned_at IS NOT NULL
      AND f.delete_after <= now() AND f.orphaned_at <= now() - make_interval(secs => $1)
), moved AS (
    UPDATE public.tablo_files AS f
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
