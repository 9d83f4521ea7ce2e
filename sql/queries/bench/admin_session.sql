-- Settings of the connection that holds a run's lock: it stays idle for long, and dropping a database
-- takes its time.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_session_timeout = 0;
