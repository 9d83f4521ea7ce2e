-- Tells a job that kills its worker from one that was merely there.

ALTER TABLE postrider.job ADD COLUMN lone_losses smallint NOT NULL DEFAULT 0;

COMMENT ON COLUMN postrider.job.losses IS
    'Attempts lost in a row because their worker died. From the second on, the job runs alone in its worker.';
COMMENT ON COLUMN postrider.job.lone_losses IS
    'Those of them during which its worker ran no other job: the third discards the job.';
