-- What to ask for when there is a new orphan: the generation, held until the transaction ends, and
-- the end of the second in which its grace of $1 seconds ends.
SELECT generation, date_trunc('second', now() + make_interval(secs => $1)) + interval '1 second' AS due
FROM orphan_cleanup
FOR SHARE
