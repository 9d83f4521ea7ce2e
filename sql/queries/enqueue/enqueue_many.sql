-- Adds many jobs in one statement. Due times as in enqueue.sql: $5 is absolute, else $6 is seconds from now.
SELECT postrider.enqueue_many($1, $2, $3, $4, $5, $7, $8, $6)
