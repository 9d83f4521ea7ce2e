-- The partition of a job that finishes now and is kept for $1 seconds.
SELECT postrider.make_history_partition(postrider.expires_on($1))
