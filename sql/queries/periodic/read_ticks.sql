-- Returns the ticks of kinds ($1), and the schedule in force: that of the most recently started live worker which
-- declares the kind.
SELECT p.kind, postrider.readable(p.schedule) AS schedule, p.first_tick, p.next_tick, clock_timestamp() AS read_at,
       (SELECT substr(d.declared, length(p.kind) + 2)
        FROM postrider.worker AS w CROSS JOIN LATERAL unnest(w.declares) AS d (declared)
        WHERE split_part(d.declared, ' ', 1) = p.kind
        ORDER BY w.started_at DESC, w.id DESC LIMIT 1) AS in_force
FROM postrider.periodic AS p
WHERE p.kind = ANY ($1::text[])
