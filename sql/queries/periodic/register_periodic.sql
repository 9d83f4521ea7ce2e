-- Registers a periodic kind ($1) with its schedule ($2) and the tick ($3) that would be its first now. An unchanged
-- schedule keeps its ticks. A changed schedule starts again at $3. So does an impossible tick, edited by hand or
-- computed with a wrong clock: no valid tick is later than $3. The 5 s allow for a tick that moves meanwhile. A row that
-- another session has locked is waited for only briefly, because the ticks of other kinds wait, too.
INSERT INTO postrider.periodic AS p (kind, schedule, first_tick, next_tick)
SELECT $1, $2, $3, $3 FROM set_config('lock_timeout', '200ms', true)
ON CONFLICT (kind) DO UPDATE
SET schedule = excluded.schedule, first_tick = excluded.first_tick, next_tick = excluded.next_tick
WHERE p.schedule <> excluded.schedule
   OR p.next_tick > excluded.next_tick + interval '5 s'
   OR p.first_tick > excluded.first_tick + interval '5 s'
   OR least(p.first_tick, p.next_tick) < '1970-01-01T00:00:00Z'
