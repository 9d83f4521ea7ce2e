-- Reserves key $1 for request $2, which is compared as jsonb. Returns no row if the key was used within 24 h. Waits for
-- the end of a transaction that holds the key.
INSERT INTO public.idempotency_keys AS used (key, request_hash) VALUES ($1, sha256(convert_to($2::text::jsonb::text, 'UTF8')))
ON CONFLICT (key) DO UPDATE
SET request_hash = excluded.request_hash, response = NULL, job_id = NULL, outcome = NULL, created_at = excluded.created_at
WHERE used.created_at <= now() - interval '24 hours'
RETURNING key
