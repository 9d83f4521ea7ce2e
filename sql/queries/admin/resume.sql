SELECT postrider.resume($1)
