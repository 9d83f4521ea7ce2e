SELECT coalesce(max(version), 0) FROM postrider_app_migrations
