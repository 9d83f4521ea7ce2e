SELECT id, name, created_at FROM public.tablos WHERE id = $1
