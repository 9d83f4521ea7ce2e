-- Tries to stand idle for queues ($1). `held`: by this session. `covered`: another session holds the
-- lock, so whoever adds a job notifies just the same. `refused`: somebody who adds jobs holds its
-- shared side until commit. Waits for nothing.
SELECT postrider.idle_key(w.queue) AS key,
       CASE WHEN pg_try_advisory_lock(1886351218, postrider.idle_key(w.queue)) THEN 'held'
            WHEN pg_try_advisory_xact_lock_shared(1886351218, postrider.idle_key(w.queue)) THEN 'refused'
            ELSE 'covered' END AS standing
FROM unnest($1::text[]) WITH ORDINALITY AS w (queue, number)
ORDER BY w.number
