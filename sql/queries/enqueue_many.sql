-- Adds many jobs in one statement. Times as in enqueue: $5 absolute, else $6 seconds from now.
SELECT postrider.enqueue_many($1, $2, $3, $4, $5, $7, $8, $6)
