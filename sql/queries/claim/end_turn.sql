-- Ends the turn. The session of claims holds no other advisory lock.
SELECT pg_advisory_unlock_all()
