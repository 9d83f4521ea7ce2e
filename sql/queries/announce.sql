-- One notification a queue, sent when the transaction commits.
SELECT postrider.announce(t.queue, t.run_at) FROM unnest($1::text[], $2::timestamptz[]) AS t (queue, run_at)
