SELECT id, postrider.readable(name) AS name, created_at FROM public.tablos WHERE id = $1
