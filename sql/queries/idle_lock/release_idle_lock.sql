-- Releases the idle locks of queues ($1) and notifies the workers, which may acquire them. The notification contains
-- the key of the lock.
SELECT pg_advisory_unlock(hashtext('postrider'), postrider.idle_key(w.queue)),
       postrider.notify('idle ' || postrider.idle_key(w.queue))
FROM unnest($1::text[]) AS w (queue)
