SELECT postrider.retry($1) AS outcome
