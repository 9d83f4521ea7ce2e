-- Removes up to 100 expired keys that nobody is using: each new key pays for old ones.
DELETE FROM idempotency_keys WHERE key = ANY (ARRAY(
    SELECT key FROM idempotency_keys
    WHERE created_at <= now() - interval '24 hours'
    ORDER BY created_at LIMIT 100
    FOR UPDATE SKIP LOCKED))
