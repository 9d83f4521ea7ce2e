-- Returns the databases that killed tests have left: of our role, without a session, made more than a day ago. The first
-- twelve digits of the id in the name are its time, in ms since 1970. In a CASE, because other names have no such digits.
SELECT datname::text
FROM pg_database AS d
WHERE CASE WHEN datname ~ '^postrider_test_[0-9a-f]{32}$'
           THEN ('x' || substr(datname, 16, 12))::bit(48)::bigint < (extract(epoch FROM now()) - 86400) * 1000
           ELSE false END
  AND datdba = (SELECT oid FROM pg_roles WHERE rolname = current_user)
  AND NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.datname = d.datname)
