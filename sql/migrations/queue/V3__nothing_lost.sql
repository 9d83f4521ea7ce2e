-- Tells a job that kills its worker from one that was merely there.

ALTER TABLE postrider.job ADD COLUMN lone_losses smallint NOT NULL DEFAULT 0;

COMMENT ON COLUMN postrider.job.losses IS
    'Attempts lost in a row because their worker died. From the second on, the job runs alone in its worker.';
COMMENT ON COLUMN postrider.job.lone_losses IS
    'Those of them during which its worker ran no other job: the third discards the job.';

-- A new partition belongs to whoever owns the history: sql/roles.sql gives that to the worker's role, since
-- only their owner can detach and drop partitions, and makes this function the administrator's. To own a
-- table in the schema a role needs CREATE on it at that moment. For good, that would let it put a function of
-- its own beside postrider.enqueue, for others to call by mistake.
CREATE OR REPLACE FUNCTION postrider.make_history_partition(day date) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    partition text := 'job_history_' || to_char(day, 'YYYYMMDD');
    owner     name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'postrider.job_history'::regclass);
    may_create boolean := has_schema_privilege(owner, 'postrider', 'CREATE');
BEGIN
    -- One maker at a time; a second one finds the work done.
    PERFORM pg_advisory_xact_lock(hashtextextended('postrider.make_history_partition', 0));
    IF to_regclass('postrider.' || quote_ident(partition)) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Created alone and then attached: ATTACH takes a lock that does not stop
    -- readers and writers of the other partitions, CREATE ... PARTITION OF would.
    EXECUTE format('CREATE TABLE postrider.%I (LIKE postrider.job_history INCLUDING ALL, CHECK (expires_on >= %L AND expires_on < %L))',
                   partition, day, day + 1);
    EXECUTE format('ALTER TABLE postrider.job_history ATTACH PARTITION postrider.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, day, day + 1);
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
