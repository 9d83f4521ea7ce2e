-- How many of the worker processes ($1) are ready and hear of new jobs.
SELECT count(*) FROM postrider.worker WHERE pid = ANY ($1) AND server_started_at IS NOT NULL
