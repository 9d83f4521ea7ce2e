-- Returns the recorded response of key $1, and whether it was for the same request ($2).
SELECT request_hash = sha256(convert_to($2::text::jsonb::text, 'UTF8')) AS same_request, job_id, outcome,
       response #>> '{}' AS response
FROM public.idempotency_keys WHERE key = $1
