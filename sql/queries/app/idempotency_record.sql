-- Keeps the answer $3 of the key $1. It is kept as one JSON text, because jsonb would change the
-- order of its fields, and a repeated request gets the same bytes.
UPDATE idempotency_keys SET job_id = $2, response = to_jsonb($3::text) WHERE key = $1
