LISTEN "postrider.finished"
