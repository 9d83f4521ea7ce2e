COPY postrider.job (kind, args, queue, priority, run_at, max_attempts) FROM STDIN (FORMAT binary)
