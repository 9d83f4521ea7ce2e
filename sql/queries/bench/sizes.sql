-- The size of the hot table and of its indexes, in bytes.
SELECT pg_relation_size('postrider.job'), pg_indexes_size('postrider.job')
