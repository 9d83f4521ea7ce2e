-- Creates the partition for jobs that finish now with a retention of $1 seconds.
SELECT postrider.make_history_partition(postrider.expires_on($1))
