-- Returns the unfinished jobs of a kind ($1), the oldest first: their ids, and each as JSON in outcomes. At most 10,001.
SELECT coalesce(array_agg(id), '{}') AS ids, coalesce(array_agg(job::text), '{}') AS outcomes
FROM (
    SELECT id, json_build_object(
        'queue', postrider.readable(queue), 'priority', priority, 'attempt', attempt, 'max_attempts', max_attempts,
        'running', running, 'run_at', run_at, 'unique_key', postrider.readable(unique_key),
        'args', postrider.readable(args)) AS job
    FROM postrider.job
    WHERE kind = $1::text
    ORDER BY id
    LIMIT 10001) AS unfinished
