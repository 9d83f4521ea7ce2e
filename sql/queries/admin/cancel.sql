SELECT postrider.cancel($1) AS outcome
