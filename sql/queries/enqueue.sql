-- Adds one job, as postrider.enqueue does for every other language. $6 is a delay in seconds from
-- the database's now, used where no time ($5) is given.
SELECT postrider.add_job($1, $2, $3, $4, coalesce($5, now() + make_interval(secs => $6)), $7, $8)
