-- No row where the id is taken.
INSERT INTO tablos (id, name) VALUES ($1, $2)
ON CONFLICT (id) DO NOTHING
RETURNING id, name, created_at
