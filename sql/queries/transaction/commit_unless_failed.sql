-- In a transaction that has failed, COMMIT would roll back and report no error. The query does.
SELECT;
COMMIT
