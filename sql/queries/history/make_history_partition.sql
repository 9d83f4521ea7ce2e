SELECT postrider.make_history_partition($1)
