-- Keeps unfinished jobs, such as those scheduled for later.
TRUNCATE postrider.job_history
