-- Returns no row if the id is taken.
INSERT INTO public.tablos (id, name) VALUES ($1, $2)
ON CONFLICT (id) DO NOTHING
RETURNING id, name, created_at
