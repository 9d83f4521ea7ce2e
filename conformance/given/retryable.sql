-- The first attempt of the job $1 has failed. The next one is due in an hour.
UPDATE postrider.job SET running = false, attempt = greatest(attempt, 1), claim = claim + 1, attempted_at = now(),
    attempted_by = gen_random_uuid(), failed_at = now(), run_at = now() + interval '1 hour',
    errors = postrider.append_error('[]', 1, 'no luck', NULL)
WHERE id = $1::text::bigint
