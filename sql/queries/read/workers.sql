SELECT id, host, pid, version, queues, concurrency, started_at, heartbeat_at, live FROM postrider.workers ORDER BY started_at, id
