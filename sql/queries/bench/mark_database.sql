COMMENT ON DATABASE {name} IS 'Scratch database of a run of `worker bench`, which drops it. After a run that was killed, the next one does.'
