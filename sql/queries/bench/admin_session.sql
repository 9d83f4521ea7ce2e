-- Settings of the connection that holds a run's lock: it is idle for a long time, and dropping a database takes time.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_session_timeout = 0;
