-- Returns whether no job is left, except those scheduled at other priorities. Checks the newest job first: while it
-- exists, no other needs to be read.
SELECT CASE
    WHEN EXISTS (SELECT FROM postrider.job WHERE id = (SELECT last_value FROM postrider.job_id_seq) AND priority = 2)
    THEN false
    ELSE NOT EXISTS (SELECT FROM postrider.job WHERE queue = 'default' AND priority = 2)
END
