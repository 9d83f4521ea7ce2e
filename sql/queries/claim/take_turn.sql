-- Waits until no other worker that takes turns claims from the queues ($1). Keys of idle locks are below 128. The locks
-- are acquired in the order of their keys, so that two workers never wait for each other.
SELECT pg_advisory_lock(hashtext('postrider'), turn.key)
FROM (SELECT DISTINCT 128 + postrider.idle_key(w.queue) AS key FROM unnest($1::text[]) AS w (queue) ORDER BY key) AS turn
