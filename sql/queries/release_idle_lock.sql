-- Stands idle no more for queues ($1), and tells those who may take the place: all whose queue has
-- the same key.
SELECT pg_advisory_unlock(1886351218, postrider.idle_key(w.queue)),
       pg_notify('postrider', 'idle ' || postrider.idle_key(w.queue))
FROM unnest($1::text[]) AS w (queue)
