-- Takes the key $1 for the request $2, unless it has been used within 24 h: then no row. Waits for
-- a transaction that has the key and has not ended yet.
INSERT INTO idempotency_keys AS used (key, request_hash) VALUES ($1, sha256($2))
ON CONFLICT (key) DO UPDATE
SET request_hash = excluded.request_hash, response = NULL, job_id = NULL, created_at = excluded.created_at
WHERE used.created_at <= now() - interval '24 hours'
RETURNING key
