-- Tries to acquire the idle locks of queues ($1), without waiting. acquired: this session holds it. held_by_peer:
-- another session holds it, so enqueues still send notifications. contended: an open transaction with a new job holds
-- the shared form until commit.
SELECT postrider.idle_key(w.queue) AS key,
       CASE WHEN pg_try_advisory_lock(hashtext('postrider'), postrider.idle_key(w.queue)) THEN 'acquired'
            WHEN pg_try_advisory_xact_lock_shared(hashtext('postrider'), postrider.idle_key(w.queue)) THEN 'contended'
            ELSE 'held_by_peer' END AS outcome
FROM unnest($1::text[]) WITH ORDINALITY AS w (queue, number)
ORDER BY w.number
