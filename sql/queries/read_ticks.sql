SELECT kind, first_tick, next_tick, clock_timestamp() AS read_at FROM postrider.periodic WHERE kind = ANY ($1::text[])
