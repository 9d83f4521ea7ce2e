//! `sql/roles.sql`: what each role can do, and what it cannot.

use std::time::Duration;

use crate::support::command::{run, worker as worker_command};
use crate::support::database::TestDatabase;
use crate::support::login::{Login, ROLES};
use crate::support::rows::{job, job_becomes, number, number_becomes, workers_listen};
use crate::support::web::{Answer, WebService, web_command};
use crate::support::worker::{TestWorker, task, tasks};
use postrider::schema::MigrationSet;
use postrider::{Args, Database, Error, JobError, NewJob, State, admin, enqueue, enqueue_copy, enqueue_many};
use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const ENQUEUE: &str = "IN ROLE postrider_enqueue";
const WORKER: &str = "IN ROLE postrider_worker";
const READ: &str = "IN ROLE postrider_read";
const OPERATOR: &str = "IN ROLE postrider_operator";

/// A migrated database in which an administrator has run `sql/roles.sql`, twice.
async fn with_roles() -> TestDatabase {
    let db = TestDatabase::new().await;
    for _ in 0..2 {
        set_up_roles(&db.connect().await).await;
    }
    db
}

/// Databases of one cluster share their roles: two that are set up at once may meet in one row.
async fn set_up_roles(admin: &Client) {
    loop {
        match admin.batch_execute(ROLES).await {
            Ok(()) => return,
            Err(error) if error.to_string().contains("concurrently") => {}
            Err(error) if error.as_db_error().is_some_and(|db| db.message().contains("concurrently updated")) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Fails the test unless every statement is refused for want of rights.
async fn all_are_refused(client: &Client, statements: &[&str]) {
    for statement in statements {
        match client.batch_execute(statement).await {
            Ok(()) => panic!("it may: {statement}"),
            Err(error) => assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}"),
        }
    }
}

fn is_refused<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Database(error)) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE))
}

/// Drops all partitions of the history.
const DROP_PARTITIONS: &str = "DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relname ~ '^job_history_[0-9]{8}$' LOOP
        EXECUTE format('DROP TABLE postrider.%I', name);
    END LOOP;
END $$";

/// What none of the four may: change the schema, its functions or the rights.
const CHANGES: [&str; 19] = [
    "CREATE TABLE postrider.mine (id int)",
    "CREATE TABLE public.mine (id int)",
    "CREATE VIEW postrider.mine AS SELECT 1",
    "CREATE FUNCTION postrider.enqueue(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
    "CREATE OR REPLACE FUNCTION postrider.announce(queue text, run_at timestamptz) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "ALTER FUNCTION postrider.enqueue SECURITY INVOKER",
    "DROP FUNCTION postrider.add_job",
    "CREATE SCHEMA mine",
    "DROP SCHEMA postrider CASCADE",
    "ALTER TABLE postrider.job ADD COLUMN mine int",
    "ALTER TABLE postrider.job DISABLE TRIGGER ALL",
    "CREATE INDEX mine ON postrider.job (kind)",
    "CREATE TRIGGER mine BEFORE INSERT ON postrider.job FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "TRUNCATE postrider.job",
    "DROP TABLE postrider.job",
    "DROP VIEW postrider.jobs",
    "UPDATE postrider.schema_version SET version = 1",
    "GRANT postrider_worker TO CURRENT_USER",
    "CREATE ROLE mine",
];

#[tokio::test]
async fn a_role_that_enqueues_adds_jobs_by_sql_with_every_option_and_wakes_workers() {
    let db = with_roles().await;
    let admin = db.connect().await;
    let mut running = TestWorker::start(
        &db.another_pool(),
        |w| w.queue("default", 1).poll_interval(Duration::from_hours(1)),
        |_, _| async { Ok(()) },
    );
    workers_listen(&admin, 1).await;
    let mut producer = Login::new(&db, ENQUEUE).await.connect().await;
    let id = number(&producer, r#"SELECT postrider.enqueue('task', '{"name": "by sql"}')"#).await;
    assert_eq!(running.next_start().await.job_id, id);
    running.stop().await;

    let all = "SELECT postrider.enqueue('k', '[1]', 'mail', 4, now() + interval '1 day', 3, 'once')";
    let id = number(&producer, all).await;
    assert_eq!(number(&producer, all).await, id, "the holder of the key");
    let added = job(&admin, id).await;
    assert_eq!((added.queue.as_str(), added.state, added.max_attempts), ("mail", State::Scheduled, 3));
    // In its own transaction.
    let tx = producer.transaction().await.unwrap();
    tx.batch_execute("SELECT postrider.enqueue('k')").await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(db.count("postrider.jobs").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_enqueues_adds_jobs_by_the_rust_client_within_its_limits() {
    let db = with_roles().await;
    let admin = db.connect().await;
    let mut producer = Login::new(&db, ENQUEUE).await.connect().await;
    let once = enqueue(&producer, &task("one")).unique_key("once").await.unwrap().id;
    assert_eq!(enqueue(&producer, &task("one")).unique_key("once").await.unwrap().id, once);
    let tx = producer.transaction().await.unwrap();
    enqueue(&tx, &task("two")).queue("other").run_in(Duration::from_hours(1)).await.unwrap();
    enqueue_many(&tx, &tasks(3)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(number(&admin, "SELECT count(*) FROM postrider.jobs").await, 5);
    // What the client takes, the server takes, though it prints it longer.
    let args = Args::of(&vec![1_u8; 1024 * 1024 / 2 - 1]).unwrap();
    let largest = NewJob::new("task", args).unwrap();
    enqueue_many(&producer, &[largest]).await.unwrap();
    assert!(number(&admin, "SELECT max(octet_length(args::text))::bigint FROM postrider.job").await > 1_500_000);
}

#[tokio::test]
async fn a_role_that_enqueues_can_do_nothing_else() {
    let db = with_roles().await;
    let login = Login::new(&db, ENQUEUE).await;
    let mut client = login.connect().await;
    client.batch_execute("SELECT postrider.enqueue('k')").await.unwrap();
    all_are_refused(&client, &CHANGES).await;
    all_are_refused(
        &client,
        &[
            "SELECT id FROM postrider.jobs",
            "SELECT args FROM postrider.job",
            "SELECT count(*) FROM postrider.job",
            "SELECT unique_key FROM postrider.job_history",
            "SELECT host FROM postrider.worker",
            "SELECT name FROM postrider.queue",
            "SELECT kind FROM postrider.periodic",
            "SELECT last_value FROM postrider.job_id_seq",
            "SELECT nextval('postrider.job_id_seq')",
            "SELECT setval('postrider.job_id_seq', 1)",
            "INSERT INTO postrider.job (kind) VALUES ('k')",
            "UPDATE postrider.job SET priority = 1",
            "DELETE FROM postrider.job",
            "SELECT FROM postrider.job FOR UPDATE",
            "INSERT INTO postrider.queue VALUES ('default', now())",
            "INSERT INTO postrider.periodic VALUES ('k', 'every 1s', now(), now())",
            "COPY postrider.job TO STDOUT",
            "COPY postrider.job (kind) FROM STDIN",
            "SELECT postrider.make_history_partition('2000-01-01')",
            "SELECT postrider.announce('default', now())",
            "SELECT postrider.announce_return('default', now())",
            "SELECT * FROM postrider.schema_version",
            "SELECT * FROM public.tablos",
            "SELECT s3_key FROM public.tablo_files",
            "DELETE FROM public.idempotency_keys",
            "SET ROLE postrider_worker",
        ],
    )
    .await;
    assert!(is_refused(admin::pause(&client, "default").await));
    let tx = client.transaction().await.unwrap();
    assert!(is_refused(enqueue_copy(&tx, tasks(2).into_iter().map(Ok)).await));
    assert_eq!(db.count("postrider.jobs").await, 1);
}

#[tokio::test]
async fn a_role_that_enqueues_is_bound_to_the_limits() {
    let db = with_roles().await;
    let client = Login::new(&db, ENQUEUE).await.connect().await;
    // The checks hold for this role, too, although the client is trusted otherwise.
    for (call, code) in [
        ("SELECT postrider.enqueue('no name!')", SqlState::CHECK_VIOLATION),
        ("SELECT postrider.enqueue('k', queue => E'a\\nb')", SqlState::CHECK_VIOLATION),
        ("SELECT postrider.enqueue('k', to_jsonb(repeat('x', 1048577)))", SqlState::PROGRAM_LIMIT_EXCEEDED),
        (
            "SELECT postrider.enqueue('k', '[1e131071, 1e131071, 1e131071, 1e131071, 1e131071, 1e131071, 1e131071, 1e131071]')",
            SqlState::PROGRAM_LIMIT_EXCEEDED,
        ),
        ("SELECT postrider.add_job('a b', NULL, 'q', 2, NULL, 1, NULL)", SqlState::CHECK_VIOLATION),
        ("SELECT postrider.add_job('k', NULL, 'a b', 2, NULL, 1, NULL)", SqlState::CHECK_VIOLATION),
        ("SELECT postrider.add_job('k', NULL, 'q', 9, NULL, 1, NULL)", SqlState::CHECK_VIOLATION),
        ("SELECT postrider.add_job('k', NULL, 'q', 2, NULL, 0, NULL)", SqlState::CHECK_VIOLATION),
        (
            "SELECT postrider.add_job('k', to_jsonb(array_fill('1e131071'::numeric, '{17}')), 'q', 2, NULL, 1, NULL)",
            SqlState::PROGRAM_LIMIT_EXCEEDED,
        ),
        (
            "SELECT postrider.add_job('k', NULL, 'q', 2, NULL, 1, NULL, repeat('g', 256))",
            SqlState::CHECK_VIOLATION,
        ),
        ("SELECT postrider.add_job('k', NULL, 'q', 2, NULL, 1, NULL, NULL, '[]')", SqlState::CHECK_VIOLATION),
        (
            "SELECT postrider.add_job('k', NULL, 'q', 2, NULL, 1, NULL, NULL,
                                      jsonb_build_object('unknown', repeat('x', 16384)))",
            SqlState::CHECK_VIOLATION,
        ),
        (
            r#"SELECT postrider.add_job('k', NULL, 'q', 2, NULL, 1, NULL, NULL, '{"tags": ["a", 1]}')"#,
            SqlState::CHECK_VIOLATION,
        ),
        (
            r#"SELECT postrider.add_job('k', NULL, 'q', 2, NULL, 1, NULL, NULL, '{"trace_context": {}}')"#,
            SqlState::CHECK_VIOLATION,
        ),
        (
            r#"SELECT postrider.add_job('k', NULL, 'q', 2, NULL, 1, NULL, NULL, '{"cost": "5"}')"#,
            SqlState::CHECK_VIOLATION,
        ),
        ("SELECT postrider.enqueue_with_outcome('no name!')", SqlState::CHECK_VIOLATION),
        ("SELECT postrider.add_unique_job('a b', NULL, 'q', 2, NULL, 1, 'key')", SqlState::CHECK_VIOLATION),
        ("SELECT postrider.add_unique_job('k', NULL, 'a b', 2, NULL, 1, 'key')", SqlState::CHECK_VIOLATION),
        ("SELECT postrider.add_unique_job('k', NULL, 'q', 9, NULL, 1, 'key')", SqlState::CHECK_VIOLATION),
        ("SELECT postrider.add_unique_job('k', NULL, 'q', 2, NULL, 0, 'key')", SqlState::CHECK_VIOLATION),
        (
            "SELECT postrider.add_unique_job('k', to_jsonb(array_fill('1e131071'::numeric, '{17}')), 'q', 2, NULL, 1, 'key')",
            SqlState::PROGRAM_LIMIT_EXCEEDED,
        ),
        (
            "SELECT postrider.add_unique_job('k', NULL, 'q', 2, NULL, 1, 'key', NULL, repeat('g', 256))",
            SqlState::CHECK_VIOLATION,
        ),
        (
            "SELECT postrider.add_unique_job('k', NULL, 'q', 2, NULL, 1, 'key', NULL, NULL, '[]')",
            SqlState::CHECK_VIOLATION,
        ),
        (
            "SELECT postrider.enqueue_many('{k,a b}', '{1,1}', '{q,q}', '{1,1}', '{now,now}', '{1,1}', NULL)",
            SqlState::CHECK_VIOLATION,
        ),
        (
            "SELECT postrider.enqueue_many('{k}', ARRAY[to_jsonb(array_fill('1e131071'::numeric, '{17}'))], '{q}', '{1}',
                                           '{now}', '{1}', '{key}')",
            SqlState::PROGRAM_LIMIT_EXCEEDED,
        ),
    ] {
        assert_eq!(client.batch_execute(call).await.unwrap_err().code(), Some(&code), "{call}");
    }
    assert_eq!(db.count("postrider.job").await, 0);
}

/// In a function that runs with its owner's rights, names are looked up in `pg_catalog` only.
#[tokio::test]
async fn no_search_path_of_a_caller_leads_a_privileged_function_astray() {
    let db = with_roles().await;
    let admin = db.connect().await;
    let loose = "SELECT count(*) FROM pg_proc
                 WHERE prosecdef AND pronamespace = 'postrider'::regnamespace
                   AND NOT coalesce(proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false)";
    assert_eq!(number(&admin, loose).await, 0);
    assert_eq!(
        number(&admin, "SELECT count(*) FROM pg_proc WHERE prosecdef AND pronamespace = 'postrider'::regnamespace")
            .await,
        10
    );
    let login = Login::new(&db, ENQUEUE).await;
    let client = login.connect().await;
    client
        .batch_execute(
            "CREATE FUNCTION pg_temp.octet_length(text) RETURNS integer LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION 'hijacked as %', current_user; END $$;
             CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION 'hijacked as %', current_user; END $$;
             CREATE TEMP TABLE job (id bigint, kind text);
             SET search_path = pg_temp, pg_catalog;
             SELECT postrider.enqueue('k', '{}', 'default', 2, NULL, 25, 'key');
             SELECT postrider.add_unique_job('k', '{}', 'default', 2, NULL, 25, 'other')",
        )
        .await
        .unwrap();
    assert_eq!(db.count("postrider.job").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_other_rights_claims_finishes_retries_and_rescues() {
    let db = with_roles().await;
    let admin = db.connect().await;
    let login = Login::new(&db, WORKER).await;
    let (client, database) = (login.connect().await, login.database());

    // All four ways to add jobs, and a periodic one.
    let mut tx_client = login.connect().await;
    enqueue(&client, &task("fails once")).await.unwrap();
    enqueue_many(&client, &tasks(3)).await.unwrap();
    let tx = tx_client.transaction().await.unwrap();
    enqueue_copy(&tx, tasks(3).into_iter().map(Ok)).await.unwrap();
    tx.commit().await.unwrap();
    number(&client, r#"SELECT postrider.enqueue('task', '{"name": "by sql"}', unique_key => 'k')"#).await;

    // A partition that a finish will want, and one that is made ahead.
    admin.batch_execute(DROP_PARTITIONS).await.unwrap();

    let mut dying = TestWorker::start(
        &login.database(),
        |w| w.queue("doomed", 1).every::<crate::support::worker::Task>(Duration::from_hours(1)),
        |_, _| std::future::pending(),
    );
    let lost = enqueue(&client, &task("lost")).queue("doomed").await.unwrap().id;
    while dying.next_start().await.job_id != lost {}
    let heir = TestWorker::start(
        &database,
        |w| w.queue("default", 5).queue("doomed", 5),
        |task, cx| async move {
            match (task.name.as_str(), cx.attempt()) {
                ("fails once", 1) => Err(JobError::retry_after("once", Duration::ZERO)),
                ("snoozes", 1) => Err(JobError::snooze(Duration::ZERO)),
                ("discards", _) => Err(JobError::discard("for good")),
                _ => Ok(()),
            }
        },
    );
    workers_listen(&admin, 2).await;
    dying.kill().await;
    assert_eq!(job_becomes(&admin, lost, State::Completed).await.attempt, 2, "rescued");
    let discarded = enqueue(&client, &task("discards")).await.unwrap().id;
    job_becomes(&admin, discarded, State::Discarded).await;
    let left = "SELECT count(*) FROM postrider.job";
    number_becomes(&admin, left, 0).await;
    assert_eq!(number(&admin, "SELECT count(*) FROM postrider.jobs WHERE state = 'completed'").await, 9);
    heir.stop().await;
    let foreign = "SELECT count(*) FROM pg_class
                   WHERE relname ~ '^job_history(_[0-9]{8})?$' AND relowner <> 'postrider_worker'::regrole";
    assert_eq!(number(&admin, foreign).await, 0);
    assert!(number(&admin, "SELECT count(*) FROM pg_inherits").await >= 15);

    // What operators do.
    assert_eq!(admin::retry(&client, discarded).await.unwrap().state, State::Available);
    admin::cancel(&client, discarded).await.unwrap();
    admin::pause(&client, "default").await.unwrap();
    admin::resume(&client, "default").await.unwrap();
    admin::stats(&client).await.unwrap();
}

/// As the worker does it, statement by statement: the worker does it only once an hour.
#[tokio::test]
async fn a_worker_without_other_rights_keeps_the_history_and_its_vacuum_is_no_error() {
    let db = with_roles().await;
    let login = Login::new(&db, WORKER).await;
    let client = login.connect().await;
    for partition in ["job_history_20010101", "job_history_20010102"] {
        let day = &partition["job_history_".len()..];
        // Each by a login of its own: what one made, the other must be able to drop.
        let maker = Login::new(&db, WORKER).await.connect().await;
        maker.batch_execute(&format!("SELECT postrider.make_history_partition('{day}')")).await.unwrap();
        for statement in [
            include_str!("../../../sql/queries/history/detach_history_partition.sql"),
            include_str!("../../../sql/queries/history/drop_history_partition.sql"),
        ] {
            client.batch_execute(&statement.replace("{partition}", partition)).await.unwrap();
        }
    }
    client.batch_execute(include_str!("../../../sql/queries/history/vacuum_jobs.sql")).await.unwrap();
}

#[tokio::test]
async fn a_worker_cannot_change_the_schema_or_become_another() {
    let db = with_roles().await;
    let client = Login::new(&db, WORKER).await.connect().await;
    all_are_refused(&client, &CHANGES).await;
    all_are_refused(
        &client,
        &[
            "CREATE TABLE postrider.job_history_20010101 (id int)",
            "SET ROLE postrider_enqueue",
            "SET SESSION AUTHORIZATION postrider_read",
            "ALTER ROLE CURRENT_USER SUPERUSER",
            "DROP TABLE public.tablos",
            "COPY postrider.job TO PROGRAM 'cat'",
            "COPY (SELECT 1) TO '/tmp/a-file'",
            "CREATE DATABASE mine",
            "CREATE EXTENSION pg_buffercache",
            "ALTER SYSTEM SET fsync = off",
            "SELECT pg_read_file('PG_VERSION')",
        ],
    )
    .await;
    // Making a partition needs a right for a moment; it is gone again.
    client.batch_execute("SELECT postrider.make_history_partition('2001-01-01')").await.unwrap();
    all_are_refused(&client, &CHANGES).await;
    // Migrating is for the administrator.
    assert!(Login::new(&db, WORKER).await.database().migrate(MigrationSet::Queue).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_programs_and_every_command_work_with_the_rights_of_a_worker() {
    let db = with_roles().await;
    let login = Login::new(&db, WORKER).await;
    let command = |args: &[&str]| run(worker_command(&login.url, args.iter().map(|arg| (*arg).to_owned()))).done();
    let id = command(&["enqueue", "probe", r#"{"fail": "no luck"}"#, "--max-attempts", "1"]).stdout.trim().to_owned();

    let mut process = crate::support::process::Process::spawn(
        worker_command(&login.url, ["run", "--shutdown-timeout", "5s"]).env("LOG_FORMAT", "json"),
    );
    process.wait_for_event("job discarded", Duration::from_mins(2)).await;
    process.wait_for_event("worker heartbeat", Duration::from_mins(2)).await;
    process.signal(crate::support::process::Signal::Terminate);
    assert_eq!(process.wait_for_exit(Duration::from_mins(2)).await.code(), Some(0), "{}", process.log());
    let complaints = process.log();
    assert!(!complaints.contains("permission denied") && !complaints.contains("42501"), "{complaints}");

    assert_eq!(command(&["failed", "--json"]).json()[0]["id"].to_string(), id);
    for args in [
        &["show", &id, "--json"][..],
        &["list", "--json"],
        &["stats", "--json"],
        &["retry", &id],
        &["cancel", &id],
        &["pause", "mail"],
        &["resume", "mail"],
        &["migrate", "--status"],
    ] {
        command(args);
    }

    let web = WebService::from(&mut web_command(&login.url)).await;
    web.get("/readyz").await.json(200);
    let request = web.request(reqwest::Method::POST, "/jobs").header("idempotency-key", "a-key");
    Answer::of(request.json(&json!({"kind": "k"}))).await.json(201);
    let tablo = web.post("/tablos", &json!({"name": "Holidays"})).await.json(201)["id"].as_str().unwrap().to_owned();
    web.get(&format!("/tablos/{tablo}")).await.json(200);
    assert_eq!(web.delete(&format!("/tablos/{tablo}")).await.status, 204);
    assert!(!web.process.log().contains("permission denied"), "{}", web.process.log());
}

#[tokio::test]
async fn a_role_that_reads_sees_jobs_lists_and_figures() {
    let db = with_roles().await;
    let admin = db.connect().await;
    let failed = crate::support::jobs::retryable(&admin, "k", "no luck").await.to_string();
    let login = Login::new(&db, READ).await;
    let command = |args: &[&str]| run(worker_command(&login.url, args.iter().map(|arg| (*arg).to_owned()))).done();
    assert_eq!(command(&["failed", "--json"]).json()[0]["error"], "no luck");
    assert_eq!(command(&["list", "--json"]).json().len(), 1);
    assert_eq!(command(&["stats", "--json"]).json()[0]["retryable"], 1);
    assert_eq!(command(&["show", &failed, "--json"]).json()[0]["errors"][0]["trace"], "the trace");
    let client = login.connect().await;
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.jobs").await, 1);
}

#[tokio::test]
async fn a_role_that_reads_writes_nothing() {
    let db = with_roles().await;
    let admin = db.connect().await;
    let id = crate::support::jobs::retryable(&admin, "k", "no luck").await;
    let mut client = Login::new(&db, READ).await.connect().await;
    all_are_refused(&client, &CHANGES).await;
    all_are_refused(
        &client,
        &[
            "SELECT postrider.enqueue('k')",
            "SELECT postrider.add_job('k', NULL, NULL, NULL, NULL, NULL, NULL)",
            "SELECT postrider.announce('default', now())",
            "SELECT postrider.make_history_partition('2001-01-01')",
            "SELECT nextval('postrider.job_id_seq')",
            "INSERT INTO postrider.job (kind) VALUES ('k')",
            "UPDATE postrider.job SET run_at = now()",
            "DELETE FROM postrider.job",
            "DELETE FROM postrider.job_history",
            "DELETE FROM postrider.worker",
            "UPDATE postrider.worker SET heartbeat_at = now()",
            "INSERT INTO postrider.queue VALUES ('default', now())",
            "UPDATE postrider.periodic SET next_tick = now()",
            "SELECT FROM postrider.job FOR UPDATE",
            "BEGIN; LOCK TABLE postrider.job IN EXCLUSIVE MODE",
            "ROLLBACK; SELECT * FROM public.tablo_files",
            "COPY postrider.job (kind) FROM STDIN",
            "SELECT * FROM public.tablos",
            "SELECT * FROM public.idempotency_keys",
        ],
    )
    .await;
    for refused in [
        admin::retry(&client, id).await.map(drop),
        admin::cancel(&client, id).await.map(drop),
        admin::pause(&client, "default").await.map(drop),
        enqueue(&client, &task("")).await.map(drop),
        enqueue_many(&client, &tasks(2)).await.map(drop),
    ] {
        assert!(is_refused(refused));
    }
    let tx = client.transaction().await.unwrap();
    assert!(is_refused(enqueue_copy(&tx, tasks(2).into_iter().map(Ok)).await));
}

#[tokio::test]
async fn a_role_that_operates_changes_jobs_and_queues_by_the_functions_only() {
    let db = with_roles().await;
    let admin = db.connect().await;
    let login = Login::new(&db, OPERATOR).await;
    let client = login.connect().await;
    let command = |args: &[&str]| run(worker_command(&login.url, args.iter().map(|arg| (*arg).to_owned()))).done();
    // The cancel has to make the partition.
    admin.batch_execute(DROP_PARTITIONS).await.unwrap();
    let waiting = crate::support::jobs::waiting(&admin, "k").await;
    assert_eq!(admin::cancel(&client, waiting).await.unwrap().state, State::Cancelled);

    let failed = crate::support::jobs::finished(&admin, "k", "discarded").await;
    crate::support::jobs::set_key(&admin, failed, "a key").await;
    let holder = crate::support::jobs::waiting(&admin, "k").await;
    crate::support::jobs::set_key(&admin, holder, "a key").await;
    assert!(matches!(admin::retry(&client, failed).await, Err(Error::KeyTaken { .. })));
    admin::cancel(&client, holder).await.unwrap();
    let running = crate::support::jobs::running(&admin, "k").await;
    assert_eq!(admin::cancel(&client, running).await.unwrap().state, State::Running);
    for args in [
        &["retry", &failed.to_string()][..],
        &["retry", "--all-failed"],
        &["pause", "default"],
        &["resume", "default"],
        &["list", "--json"],
        &["stats", "--json"],
    ] {
        command(args);
    }
    assert_eq!(job(&admin, failed).await.state, State::Available);

    all_are_refused(&client, &CHANGES).await;
    all_are_refused(
        &client,
        &[
            "SELECT postrider.enqueue('k')",
            "SELECT postrider.requeue(1, false)",
            "SELECT postrider.complete(1, 1, gen_random_uuid(), 1)",
            "SELECT postrider.notify('cancel')",
            "SELECT postrider.make_history_partition('2001-01-01')",
            "UPDATE postrider.job SET run_at = now()",
            "DELETE FROM postrider.job_history",
            "INSERT INTO postrider.queue VALUES ('mail', now())",
            "SELECT * FROM public.tablos",
        ],
    )
    .await;
}

/// A hosted Postgres has no superuser for its users.
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_without_superuser_rights_can_set_up_the_roles() {
    let db = TestDatabase::empty().await;
    // The group roles exist already, created by another role, which may grant them.
    let _ = set_up_roles_elsewhere().await;
    let owner = Login::new(&db, "CREATEROLE").await;
    let admin = db.connect().await;
    let grants = if number(&admin, "SELECT current_setting('server_version_num')::bigint").await >= 160_000 {
        "GRANT postrider_enqueue, postrider_worker, postrider_read, postrider_operator TO {owner} WITH ADMIN OPTION"
    } else {
        // Before 16, a role that may create roles may grant all roles that are no superusers.
        "SELECT 1"
    };
    let database = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO {owner}', current_database()); END $$;
                    ALTER SCHEMA public OWNER TO {owner};";
    admin.batch_execute(&format!("{database} {grants}").replace("{owner}", &owner.name)).await.unwrap();
    for set in [MigrationSet::Queue, MigrationSet::App] {
        owner.database().migrate(set).await.unwrap();
    }
    for _ in 0..2 {
        set_up_roles(&owner.connect().await).await;
    }

    let login = Login::new(&db, WORKER).await;
    let (client, database): (Client, Database) = (login.connect().await, login.database());
    let id = enqueue(&client, &task("")).await.unwrap().id;
    let running = TestWorker::start(&database, |w| w.queue("default", 1), |_, _| async { Ok(()) });
    job_becomes(&admin, id, State::Completed).await;
    running.stop().await;
    client.batch_execute("SELECT postrider.make_history_partition('2001-01-01')").await.unwrap();
    for statement in [
        "ALTER TABLE postrider.job_history DETACH PARTITION postrider.job_history_20010101 CONCURRENTLY",
        "DROP TABLE postrider.job_history_20010101",
    ] {
        client.batch_execute(statement).await.unwrap();
    }
    let producer = Login::new(&db, ENQUEUE).await.connect().await;
    number(&producer, "SELECT postrider.enqueue('k')").await;
    let reader = Login::new(&db, READ).await.connect().await;
    assert_eq!(number(&reader, "SELECT count(*) FROM postrider.jobs").await, 2);
}

/// A second database of the cluster, so that the roles exist when the first needs them.
async fn set_up_roles_elsewhere() -> TestDatabase {
    with_roles().await
}
