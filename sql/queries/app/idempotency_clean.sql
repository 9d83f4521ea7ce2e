-- Deletes up to 100 expired keys that are not in use. Runs with each new key.
DELETE FROM public.idempotency_keys WHERE key = ANY (ARRAY(
    SELECT key FROM public.idempotency_keys
    WHERE created_at <= now() - interval '24 hours'
    ORDER BY created_at LIMIT 100
    FOR UPDATE SKIP LOCKED))
