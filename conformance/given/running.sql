-- A worker has claimed the job $1.
UPDATE postrider.job SET running = true, attempt = attempt + 1, claim = claim + 1, attempted_at = now(),
    attempted_by = gen_random_uuid()
WHERE id = $1::text::bigint
