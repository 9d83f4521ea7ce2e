-- SECURITY DEFINER, so that a role that may only write rows keeps working on the next day. A new partition gets the
-- owner of job_history. sql/roles.sql makes that the worker's role, because only the owner can detach and drop a
-- partition. To become the owner of a table, a role needs CREATE on the schema at that moment. The grant is temporary:
-- with CREATE, the role could add an overload of postrider.enqueue that others call by mistake.
CREATE FUNCTION postrider.make_history_partition(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition text := 'job_history_' || to_char(day, 'YYYYMMDD');
    owner     name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'postrider.job_history'::regclass);
    may_create boolean := has_schema_privilege(owner, 'postrider', 'CREATE');
BEGIN
    -- Retention is at most 365 days.
    IF day > (now() AT TIME ZONE 'UTC')::date + 400 THEN
        RAISE EXCEPTION 'no job expires on %', day USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regclass('postrider.' || quote_ident(partition)) IS NOT NULL THEN
        RETURN;
    END IF;
    -- One session at a time. A second one then finds the partition.
    PERFORM pg_advisory_xact_lock(hashtextextended('postrider.make_history_partition', 0));
    IF to_regclass('postrider.' || quote_ident(partition)) IS NOT NULL THEN
        RETURN;
    END IF;
    -- CREATE, then ATTACH: unlike CREATE ... PARTITION OF, this does not block reads or writes of the other partitions.
    EXECUTE format('CREATE TABLE postrider.%I (LIKE postrider.job_history INCLUDING ALL, CONSTRAINT one_day CHECK (expires_on >= %L AND expires_on < %L))',
                   partition, day, day + 1);
    -- The table has no key. Without this, a publication FOR ALL TABLES would reject the DELETE of a retry.
    EXECUTE format('ALTER TABLE postrider.%I REPLICA IDENTITY FULL', partition);
    EXECUTE format('ALTER TABLE postrider.job_history ATTACH PARTITION postrider.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, day, day + 1);
    -- The bounds of the partition say the same. Each finished job would be checked for both.
    EXECUTE format('ALTER TABLE postrider.%I DROP CONSTRAINT one_day', partition);
    IF owner = current_user THEN
        RETURN;
    END IF;
    IF NOT may_create THEN
        EXECUTE format('GRANT CREATE ON SCHEMA postrider TO %I', owner);
    END IF;
    EXECUTE format('ALTER TABLE postrider.%I OWNER TO %I', partition, owner);
    IF NOT may_create THEN
        EXECUTE format('REVOKE CREATE ON SCHEMA postrider FROM %I', owner);
    END IF;
END
$$;
COMMENT ON FUNCTION postrider.make_history_partition IS 'Internal. Creates the history partition of one day of expiry if it does not exist.';
