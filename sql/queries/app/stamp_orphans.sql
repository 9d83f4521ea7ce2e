-- Reads one page of $2 files by id, after $1, and stamps files whose tablo no longer exists. $3: the grace period in
-- seconds. Returns the last id of the page, or no row at the end of the table.
WITH page AS (
    SELECT id FROM public.tablo_files WHERE id > $1 ORDER BY id LIMIT $2
), stamped AS (
    UPDATE public.tablo_files AS f
    SET orphaned_at = now(), orphan_cause = 'tablo_deleted', delete_after = now() + make_interval(secs => $3)
    FROM page
    WHERE f.id = page.id AND f.state = 'ready' AND f.orphaned_at IS NULL
      AND NOT EXISTS (SELECT FROM public.tablos AS t WHERE t.id = f.tablo_id)
    RETURNING f.id
)
SELECT page.id AS last_id, (SELECT count(*) FROM stamped) AS stamped
FROM page ORDER BY page.id DESC LIMIT 1
