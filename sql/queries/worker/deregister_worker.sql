DELETE FROM postrider.worker WHERE id = $1
