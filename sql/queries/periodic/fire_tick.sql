-- Moves the tick of a kind ($1) from $2 to $3 and enqueues its job, atomically. If many workers try, only one finds the
-- tick unmoved. A row that another session has locked is waited for only briefly, because the ticks of other kinds wait,
-- too.
WITH fired AS (
    UPDATE postrider.periodic AS p SET next_tick = $3
    FROM set_config('lock_timeout', '200ms', true)
    WHERE p.kind = $1 AND p.next_tick = $2 AND p.next_tick <= clock_timestamp()
    RETURNING p.kind
)
SELECT postrider.add_job(fired.kind, $4, $5, $6, now(), $7, NULL) AS id FROM fired
