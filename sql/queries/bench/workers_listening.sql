-- Counts the worker processes ($1) that are ready and listening.
SELECT count(*) FROM postrider.worker WHERE pid = ANY ($1) AND server_started_at IS NOT NULL
