-- In bytes since the beginning. Of the whole server: others that write at the same time are counted too.
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
