-- The server's timeline. Each failover starts a new one.
SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
