-- Adds many jobs in one statement. Times as in enqueue: $5 absolute, else $6 seconds from now.
SELECT postrider.enqueue_many($1, $2, $3, $4,
    ARRAY(SELECT coalesce(t.run_at, now() + make_interval(secs => t.delay))
          FROM unnest($5::timestamptz[], $6::double precision[]) WITH ORDINALITY AS t (run_at, delay, place)
          ORDER BY t.place),
    $7, $8)
