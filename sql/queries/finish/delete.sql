-- Deletes completed jobs of which no history is kept, each only if its fence (id, claim, worker) holds. Returns the jobs
-- that were deleted. The other outcomes were stale.
WITH outcome AS (
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::uuid[]) AS o (id, claim, worker)
)
DELETE FROM postrider.job AS j
USING outcome AS o
WHERE j.id = ANY ($1) AND j.id = o.id AND j.claim = o.claim AND j.attempted_by = o.worker AND j.running
RETURNING j.id, j.claim, j.awaited IS NULL OR postrider.notify_finished(j.id) AS notified
