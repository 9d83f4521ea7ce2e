-- For the server's side of a worker's connection: a worker that is cut off, with its host or by the
-- network, should not occupy it for the two hours that systems allow by default.
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
