SELECT coalesce(max(version), 0) FROM public.postrider_app_migrations
