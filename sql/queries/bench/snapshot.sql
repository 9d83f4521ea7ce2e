-- Takes a snapshot, which prevents the removal of dead rows while its transaction is open.
SELECT count(*) FROM postrider.worker
