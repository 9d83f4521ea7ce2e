SELECT coalesce(max(version), 0) FROM postrider_queue_migrations
