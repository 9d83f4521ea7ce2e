SELECT queue, available, available_capped, running, running_capped, scheduled, scheduled_capped, retryable,
       retryable_capped, oldest_waiting_seconds, workers, paused
FROM postrider.stats()
