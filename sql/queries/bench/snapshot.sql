-- Takes a snapshot, which holds back the removal of dead rows for as long as its transaction lives.
SELECT count(*) FROM postrider.worker
