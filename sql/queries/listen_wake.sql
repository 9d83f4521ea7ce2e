LISTEN postrider
