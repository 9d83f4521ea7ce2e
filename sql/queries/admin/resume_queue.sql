WITH resumed AS (
    UPDATE postrider.queue SET paused_at = NULL WHERE name = $1 AND paused_at IS NOT NULL RETURNING name
)
SELECT postrider.announce_return(name, now()) AS announced FROM resumed
