-- Keepalives on the server's side of a worker's connection. A connection cut off by a host or network failure must not
-- stay open for the system default of two hours.
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
