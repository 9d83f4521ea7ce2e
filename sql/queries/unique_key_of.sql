SELECT unique_key FROM postrider.job_history WHERE id = $1
