-- By this lock, held until the session ends, others know that the run lives.
SELECT pg_try_advisory_lock($1)
