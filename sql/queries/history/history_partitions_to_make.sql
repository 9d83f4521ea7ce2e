-- Days of expiry without a partition, from today to $1 days ahead.
SELECT day::date
FROM generate_series((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + $1::integer, interval '1 day') AS day
WHERE to_regclass('postrider.job_history_' || to_char(day, 'YYYYMMDD')) IS NULL
ORDER BY day
