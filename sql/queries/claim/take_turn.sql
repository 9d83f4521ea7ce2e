-- Waits until no other worker claims a backlog of the queues ($1), and limits the waits for locks in the rest of the
-- transaction, which ends the turn. Returns the time of the wait (ms). Keys of idle locks are below 128. The locks are
-- acquired in the order of their keys, so that two workers never wait for each other.
SELECT count(pg_advisory_xact_lock(hashtext('postrider'), turn.key)),
       (extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000)::double precision AS waited_ms,
       set_config('lock_timeout', '200', true)
FROM (SELECT DISTINCT 128 + postrider.idle_key(w.queue) AS key FROM unnest($1::text[]) AS w (queue) ORDER BY key) AS turn
