-- Read committed, whatever the role's default: a second read of a job that moved must see the move.
BEGIN ISOLATION LEVEL READ COMMITTED
