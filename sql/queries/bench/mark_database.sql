COMMENT ON DATABASE {name} IS 'Scratch database of a run of `worker bench`, which drops it. If that run was killed, the next run drops it.'
