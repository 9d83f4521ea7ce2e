-- Returns the retention (s) of the job $1 once it is cancelled: that of the most recently started worker of its queue.
-- Returns no row if that worker or the job does not exist.
SELECT greatest(least(w.cancelled_seconds, 31536000), 0)
FROM postrider.job AS j
JOIN postrider.worker AS w ON j.queue = ANY (w.queues)
WHERE j.id = $1 AND w.cancelled_seconds IS NOT NULL
ORDER BY w.started_at DESC
LIMIT 1
