-- Empties the tables and indexes before each round. Truncates only partitions with rows: there are many, and truncating
-- an empty one takes as long as a full one.
DO $$
DECLARE
    filled regclass;
BEGIN
    FOR filled IN
        SELECT t.relation
        FROM (SELECT 'postrider.job'::regclass AS relation
              UNION ALL
              SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'postrider.job_history'::regclass) AS t
        WHERE pg_relation_size(t.relation) > 0
    LOOP
        EXECUTE format('TRUNCATE %s', filled);
    END LOOP;
END
$$
