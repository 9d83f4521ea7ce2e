-- Whether no job is left, apart from those scheduled at other priorities. The newest is looked for
-- first: while that is there, nothing else needs to be read.
SELECT CASE
    WHEN EXISTS (SELECT FROM postrider.job WHERE id = (SELECT last_value FROM postrider.job_id_seq) AND priority = 2)
    THEN false
    ELSE NOT EXISTS (SELECT FROM postrider.job WHERE queue = 'default' AND priority = 2)
END
