-- Four group roles, so that each program has only the rights that it needs:
--
--   postrider_enqueue   only enqueues, with postrider.enqueue or the Rust client (except enqueue_copy)
--   postrider_worker    `worker run`, `web`, and all that the other roles may
--   postrider_read      the views; `worker list`, `failed`, `show`, `stats`, `queues` and `workers`
--   postrider_operator  the same, and `worker retry`, `cancel`, `pause` and `resume`
--
-- Run this in each database, as the owner of the schema if it may create roles, or as a superuser. Run it again after
-- each `worker migrate`, because a migration that replaces a function resets its rights. Running it twice is safe.
--
--   psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -1 -f sql/roles.sql
--   psql "$DATABASE_URL" -c "CREATE ROLE shop LOGIN PASSWORD '...' IN ROLE postrider_enqueue"

-- Roles are cluster-wide: the setup of another database may have created them.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['postrider_enqueue', 'postrider_worker', 'postrider_read', 'postrider_operator'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA postrider TO postrider_enqueue, postrider_worker, postrider_read;
-- By default, PUBLIC may execute every function.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA postrider FROM PUBLIC;

-- postrider_enqueue
--
-- SECURITY DEFINER, so that callers need no rights on the tables. The Rust client calls add_job, add_unique_job and
-- enqueue_many. They trust its checks of names and sizes, except under SECURITY DEFINER: a row that is too large to read would stop
-- the claims of its whole queue. COPY writes to the table directly, so this role cannot use it.
--
DO $$
DECLARE
    the_function regprocedure;
BEGIN
    FOR the_function IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'postrider'::regnamespace AND proname IN ('enqueue', 'enqueue_with_outcome', 'add_job', 'add_unique_job', 'enqueue_many')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, pg_temp', the_function);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO postrider_enqueue', the_function);
    END LOOP;
END
$$;

-- postrider_read
GRANT SELECT ON ALL TABLES IN SCHEMA postrider TO postrider_read;
-- The view calls these functions with the rights of its reader.
GRANT EXECUTE ON FUNCTION postrider.is_utf8(text), postrider.readable(text), postrider.readable(jsonb) TO postrider_read;
GRANT EXECUTE ON FUNCTION postrider.find_job(bigint), postrider.stats() TO postrider_read;

-- postrider_operator
--
-- SECURITY DEFINER, so that operators change jobs and queues only by these functions.
GRANT postrider_read TO postrider_operator;
DO $$
DECLARE
    the_function regprocedure;
BEGIN
    FOR the_function IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'postrider'::regnamespace AND proname IN ('retry', 'cancel', 'pause', 'resume')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, pg_temp', the_function);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO postrider_operator', the_function);
    END LOOP;
END
$$;

-- postrider_worker
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA postrider TO postrider_worker;
-- Only the migrator writes the migration record.
REVOKE INSERT, UPDATE, DELETE ON postrider.schema_version FROM postrider_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA postrider TO postrider_worker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA postrider TO postrider_worker;

-- Objects and privileges that exist only with the example application, or only in some versions of Postgres.
DO $$
DECLARE
    the_table text;
BEGIN
    FOREACH the_table IN ARRAY ARRAY['tablos', 'tablo_files', 'orphan_cleanup', 'idempotency_keys'] LOOP
        IF to_regclass('public.' || the_table) IS NOT NULL THEN
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO postrider_worker', the_table);
        END IF;
    END LOOP;
    -- Programs read this table to check that the schema is new enough.
    IF to_regclass('public.postrider_app_migrations') IS NOT NULL THEN
        GRANT SELECT ON public.postrider_app_migrations TO postrider_worker, postrider_read;
    END IF;
    -- Before Postgres 17, only the owner may vacuum a table: the worker's own VACUUM then only logs a warning, and
    -- autovacuum remains.
    IF current_setting('server_version_num')::integer >= 170000 THEN
        GRANT MAINTAIN ON postrider.job TO postrider_worker;
    END IF;
END
$$;

-- The history. An expired partition is detached with DETACH CONCURRENTLY and then dropped. DETACH CONCURRENTLY cannot
-- run in a function and requires ownership of job_history. DROP requires ownership of the partition. So
-- postrider_worker owns these tables, and no others.
--
-- make_history_partition is SECURITY DEFINER. It makes the owner of job_history the owner of each new partition.

DO $$
DECLARE
    owner       name;
    the_table   name;
    is_almighty boolean;
BEGIN
    SELECT r.rolname, r.rolsuper INTO owner, is_almighty
    FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner WHERE n.nspname = 'postrider';
    IF NOT is_almighty THEN
        -- The owner needs this for later migrations, and for its view and functions.
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
