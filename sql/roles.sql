-- Three group roles, so that no program needs more rights than it uses:
--
--   postrider_enqueue  adds jobs, by postrider.enqueue or the Rust client (but for copy), and can do nothing else
--   postrider_worker   `worker run`, `web`, and the commands that steer jobs and queues
--   postrider_read     the view postrider.jobs; `worker list`, `failed`, `show` and `stats`
--
-- An administrator runs this in each database: the owner of the schema, who may create roles, or a
-- superuser. Again after each `worker migrate`, because a migration that replaces a function takes its
-- rights back to the usual ones; twice does no harm.
--
--   psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -1 -f sql/roles.sql
--   psql "$DATABASE_URL" -c "CREATE ROLE shop LOGIN PASSWORD '…' IN ROLE postrider_enqueue"

-- Roles belong to the whole cluster: another database, or another administrator, may have made them.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['postrider_enqueue', 'postrider_worker', 'postrider_read'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA postrider TO postrider_enqueue, postrider_worker, postrider_read;
-- A function is everybody's by default.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA postrider FROM PUBLIC;

-- postrider_enqueue
--
-- These run with their owner's rights, so that who calls them needs none on the tables. add_job and
-- enqueue_many are what the Rust client calls. They rely on it for names and sizes, but not here: a row
-- that is too large to be read would stop the claims of its whole queue. COPY goes to the table itself,
-- so it is not for this role.
--
-- Fails on a schema whose functions do not check their callers yet.
SELECT 'postrider.check_job(text, jsonb, text)'::regprocedure;
DO $$
DECLARE
    the_function regprocedure;
BEGIN
    FOR the_function IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'postrider'::regnamespace AND proname IN ('enqueue', 'add_job', 'enqueue_many')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, pg_temp', the_function);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO postrider_enqueue', the_function);
    END LOOP;
END
$$;

-- postrider_read
GRANT SELECT ON ALL TABLES IN SCHEMA postrider TO postrider_read;

-- postrider_worker
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA postrider TO postrider_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA postrider TO postrider_worker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA postrider TO postrider_worker;

-- What is there only with the example application, or only in some versions of Postgres.
DO $$
DECLARE
    the_table text;
BEGIN
    FOREACH the_table IN ARRAY ARRAY['tablos', 'tablo_files', 'orphan_cleanup', 'idempotency_keys'] LOOP
        IF to_regclass('public.' || the_table) IS NOT NULL THEN
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO postrider_worker', the_table);
        END IF;
    END LOOP;
    -- Programs look here whether the schema is new enough for them.
    FOREACH the_table IN ARRAY ARRAY['postrider_queue_migrations', 'postrider_app_migrations'] LOOP
        IF to_regclass('public.' || the_table) IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON public.%I TO postrider_worker, postrider_read', the_table);
        END IF;
    END LOOP;
    -- Before 17 only its owner vacuums a table: the worker's own VACUUM is a warning then, and
    -- autovacuum does the work.
    IF current_setting('server_version_num')::integer >= 170000 THEN
        GRANT MAINTAIN ON postrider.job TO postrider_worker;
    END IF;
END
$$;

-- The history. A partition whose day is over leaves by DETACH CONCURRENTLY, which must not be in a
-- function and is for the owner of job_history alone, then by DROP, for the partition's owner. So
-- postrider_worker owns these tables, and no other.
--
-- make_history_partition gives each new one to the owner of job_history; with the administrator's rights it
-- can.
ALTER FUNCTION postrider.make_history_partition(date) SECURITY DEFINER SET search_path = pg_catalog, pg_temp;

DO $$
DECLARE
    owner       name;
    the_table   name;
    is_almighty boolean;
BEGIN
    SELECT r.rolname, r.rolsuper INTO owner, is_almighty
    FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner WHERE n.nspname = 'postrider';
    IF NOT is_almighty THEN
        -- For its later migrations, and for the view and the functions that it owns.
        EXECUTE format('GRANT postrider_worker TO %I', owner);
    END IF;
    GRANT CREATE ON SCHEMA postrider TO postrider_worker;
    FOR the_table IN
        SELECT relname FROM pg_class
        WHERE relnamespace = 'postrider'::regnamespace AND relkind IN ('r', 'p') AND relname ~ '^job_history(_[0-9]{8})?$'
          AND relowner <> 'postrider_worker'::regrole
    LOOP
        EXECUTE format('ALTER TABLE postrider.%I OWNER TO postrider_worker', the_table);
    END LOOP;
    REVOKE CREATE ON SCHEMA postrider FROM postrider_worker;
END
$$;
