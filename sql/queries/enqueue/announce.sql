-- Sends one notification per queue on commit.
SELECT postrider.announce(t.queue, t.run_at) FROM unnest($1::text[], $2::timestamptz[]) AS t (queue, run_at)
