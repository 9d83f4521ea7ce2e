-- Declares a periodic kind. An unchanged schedule keeps its ticks, a changed one starts anew.
INSERT INTO postrider.periodic AS p (kind, schedule, first_tick, next_tick)
VALUES ($1, $2, $3, $3)
ON CONFLICT (kind) DO UPDATE
SET schedule = excluded.schedule, first_tick = excluded.first_tick, next_tick = excluded.next_tick
WHERE p.schedule <> excluded.schedule
