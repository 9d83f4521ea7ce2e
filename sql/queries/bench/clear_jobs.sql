-- Each round begins on empty tables and indexes.
TRUNCATE postrider.job, postrider.job_history
