-- What the key $1 was used for: whether by the same request ($2), and the answer.
SELECT request_hash = sha256($2) AS same_request, job_id, response #>> '{}' AS response
FROM idempotency_keys WHERE key = $1
