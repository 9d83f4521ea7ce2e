DELETE FROM public.tablos WHERE id = $1
