SELECT postrider.readable(queue) AS queue, paused_at, workers, concurrency FROM postrider.queues ORDER BY queue
