-- Stores the response $3 of key $1 as JSON text: jsonb would reorder the fields, and a repeated request must get the
-- same bytes.
UPDATE public.idempotency_keys SET job_id = $2, outcome = $4, response = to_jsonb($3::text) WHERE key = $1
