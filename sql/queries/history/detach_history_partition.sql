ALTER TABLE postrider.job_history DETACH PARTITION postrider.{partition} CONCURRENTLY
