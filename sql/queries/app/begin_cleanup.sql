-- Waits for all who hold the generation; their orphans are then to be seen.
UPDATE orphan_cleanup SET generation = generation + 1
