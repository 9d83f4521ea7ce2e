SELECT postrider.pause($1)
