-- For a new orphan: returns the generation, locked until the transaction ends, and the end of the grace period of $1
-- seconds, rounded up to the next full second.
SELECT generation, date_trunc('second', now() + make_interval(secs => $1)) + interval '1 second' AS due
FROM public.orphan_cleanup
FOR SHARE
