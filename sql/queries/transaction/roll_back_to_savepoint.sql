ROLLBACK TO SAVEPOINT postrider_lent;
RELEASE SAVEPOINT postrider_lent;
