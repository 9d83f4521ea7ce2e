-- Scratch databases of dead runs: marked as ours, owned by our role, and the lock with the key from the name is free.
-- pg_locks shows the locks of all databases.
SELECT d.datname::text
FROM pg_database AS d
JOIN pg_shdescription AS mark ON mark.objoid = d.oid AND mark.classoid = 'pg_database'::regclass
CROSS JOIN LATERAL (SELECT ('x' || right(d.datname, 16))::bit(64)::bigint AS key) AS run
WHERE d.datname ~ '^postrider_bench_[0-9a-f]{16}$'
  AND mark.description LIKE 'Scratch database of a run of `worker bench`%'
  AND pg_has_role(d.datdba, 'USAGE')
  AND NOT EXISTS (
      SELECT FROM pg_locks AS held
      WHERE held.locktype = 'advisory' AND held.objsubid = 1
        AND (held.classid::bigint << 32) | held.objid::bigint = run.key)
