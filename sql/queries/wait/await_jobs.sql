-- Marks jobs ($1) as awaited, so that their finish notifies. Returns for each whether it is still unfinished, and whether
-- it is marked: a job that another transaction has locked is not, and is to be asked for again soon.
--
-- A claim that meets the lock of this statement passes the job by. So a job that waits to be claimed is announced, like
-- one that returns to its queue.
WITH free AS (
    SELECT id FROM postrider.job WHERE id = ANY ($1::bigint[]) AND awaited IS NULL ORDER BY id FOR UPDATE SKIP LOCKED
),
marked AS (
    UPDATE postrider.job AS j SET awaited = true WHERE j.id = ANY (ARRAY(SELECT id FROM free))
    RETURNING j.id, j.running OR postrider.announce_return(j.queue, j.run_at) IS NOT NULL AS announced
)
SELECT w.id, j.id IS NOT NULL AS unfinished,
       j.awaited IS NOT NULL OR EXISTS (SELECT FROM marked AS m WHERE m.id = w.id AND m.announced) AS marked
FROM unnest($1::bigint[]) AS w (id)
LEFT JOIN postrider.job AS j ON j.id = w.id
