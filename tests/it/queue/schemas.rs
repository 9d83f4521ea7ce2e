//! Queues in schemas of their own, beside each other in one database. None of these databases has a schema `postrider`,
//! so a statement that names it fails.

use std::time::Duration;

use crate::support::command::{run, worker as worker_command};
use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::login::Login;
use crate::support::process::{Process, Signal};
use crate::support::rows::{number, number_becomes};
use crate::support::wait::PATIENCE;
use crate::support::web::{WebService, web_command};
use crate::support::worker::{TestWorker, task, tasks};
use postrider::schema::{self, MigrationSet};
use postrider::{Database, Error, JobError, NewJob, Schema, State, admin, enqueue, enqueue_copy, enqueue_many};
use serde_json::json;
use tokio_postgres::Client;

const NEVER: Duration = Duration::from_hours(1);

/// The schema of this name in the database, migrated.
async fn queue_in(db: &TestDatabase, name: &str) -> (Database, Schema) {
    let schema = Schema::new(name).unwrap();
    let database = db.another_pool().in_schema(schema.clone());
    database.migrate(MigrationSet::Queue).await.unwrap();
    database.require_schema(&[MigrationSet::Queue]).await.unwrap();
    (database, schema)
}

async fn all_listen(client: &Client, schema: &Schema) {
    let query = format!("SELECT count(*) FROM {schema}.worker WHERE server_started_at IS NOT NULL");
    number_becomes(client, &query, 1).await;
}

#[tokio::test]
async fn nothing_in_a_schema_names_another_one() {
    let db = TestDatabase::empty().await;
    queue_in(&db, "billing").await;
    let client = db.connect().await;
    assert_eq!(number(&client, "SELECT count(*) FROM pg_namespace WHERE nspname = 'postrider'").await, 0);
    let named = "SELECT count(*) FROM pg_depend, (
            SELECT prosrc AS text FROM pg_proc WHERE pronamespace = 'billing'::regnamespace
            UNION ALL SELECT pg_get_viewdef(oid) FROM pg_class WHERE relnamespace = 'billing'::regnamespace AND relkind = 'v'
            UNION ALL SELECT description FROM pg_description WHERE objoid IN (
                SELECT oid FROM pg_class WHERE relnamespace = 'billing'::regnamespace
                UNION SELECT oid FROM pg_proc WHERE pronamespace = 'billing'::regnamespace)
        ) AS texts WHERE text LIKE '%postrider%'";
    assert_eq!(number(&client, named).await, 0);
    let functions =
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'billing'::regnamespace AND prosrc LIKE '%billing.%'";
    assert!(number(&client, functions).await > 5);
}

#[tokio::test]
async fn every_word_that_needs_quotes_is_refused_as_a_name() {
    let db = TestDatabase::empty().await;
    let client = db.connect().await;
    let words = "SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')";
    for row in client.query(words, &[]).await.unwrap() {
        let word: String = row.get(0);
        assert!(matches!(Schema::new(&word), Err(Error::Invalid { field: "schema", .. })), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_queues_in_one_database_share_neither_jobs_nor_notifications() {
    let db = TestDatabase::empty().await;
    let client = db.connect().await;
    let (first, first_schema) = queue_in(&db, "first").await;
    let (second, second_schema) = queue_in(&db, "second").await;
    let set = |w: postrider::Worker<_>| w.queue("default", 2).poll_interval(NEVER);
    let mut first_worker = TestWorker::start(&first, set, |_, _| async { Ok(()) });
    let mut second_worker = TestWorker::start(&second, set, |_, _| async { Ok(()) });
    all_listen(&client, &first_schema).await;
    all_listen(&client, &second_schema).await;

    // Without a poll, each job starts by the notification of its own schema.
    for round in 0..20 {
        for (schema, worker) in [(&first_schema, &mut first_worker), (&second_schema, &mut second_worker)] {
            let name = format!("{schema} {round}");
            enqueue(&schema.on(&client), &task(&name)).await.unwrap();
            assert_eq!(worker.next_start().await.name, name);
        }
    }
    // Each worker has an idle lock of its own, although the queues have the same name.
    let locks = "SELECT count(DISTINCT classid) FROM pg_locks
                 WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND objsubid = 2
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    number_becomes(&client, locks, 2).await;
    for (schema, worker) in [(first_schema, first_worker), (second_schema, second_worker)] {
        worker.stop().await;
        let done = format!("SELECT count(*) FROM {schema}.job_history WHERE state = 'completed'");
        assert_eq!(number(&client, &done).await, 20);
    }
}

#[tokio::test]
async fn an_idle_worker_of_one_schema_is_not_woken_by_the_other() {
    let db = TestDatabase::empty().await;
    let client = db.connect().await;
    let (first, first_schema) = queue_in(&db, "first").await;
    let (_, second_schema) = queue_in(&db, "second").await;
    let worker = TestWorker::start(&first, |w| w.queue("default", 2).poll_interval(NEVER), |_, _| async { Ok(()) });
    all_listen(&client, &first_schema).await;
    let idle = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND objsubid = 2
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    number_becomes(&client, idle, 1).await;
    // No worker of the second schema is idle, so this announces nothing: the worker of the first does not count.
    client.batch_execute("BEGIN").await.unwrap();
    enqueue(&second_schema.on(&client), &task("unseen")).await.unwrap();
    let shared = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 2
                  AND pid = pg_backend_pid()";
    assert_eq!(number(&client, shared).await, 1);
    client.batch_execute("COMMIT").await.unwrap();
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_enqueue_and_every_change_of_admin_reaches_the_schema() {
    let db = TestDatabase::empty().await;
    let mut client = db.connect().await;
    let (database, billing) = queue_in(&db, "billing").await;

    let one = enqueue(&billing.on(&client), &task("one")).max_attempts(1).await.unwrap().id;
    let many = ids_of(enqueue_many(&billing.on(&client), &tasks(3)).await.unwrap());
    let tx = client.transaction().await.unwrap();
    assert_eq!(enqueue_copy(&billing.on(&tx), tasks(2).into_iter().map(Ok::<NewJob, Error>)).await.unwrap(), 2);
    tx.commit().await.unwrap();
    let on = billing.on(&client);
    admin::cancel(&on, many[0]).await.unwrap();
    admin::pause(&on, "default").await.unwrap();
    assert!(admin::stats(&on).await.unwrap()[0].paused);
    admin::resume(&on, "default").await.unwrap();
    assert_eq!(admin::list(&on, &admin::ListFilter::default()).await.unwrap().len(), 6);

    // The handler completes its job in a transaction, enqueues into its own schema, and fails once.
    let mut worker = TestWorker::start(
        &database,
        |w| w.queue("default", 2).retry_policy(|_| Duration::ZERO),
        |task, cx| async move {
            if task.name == "one" {
                return Err(JobError::retry("no"));
            }
            let mut client = cx.database().client().await?;
            let tx = client.transaction().await?;
            let schema = cx.database().schema();
            if task.name == "2" && cx.max_attempts() > 1 {
                enqueue(&schema.on(&tx), &crate::support::worker::task("child")).max_attempts(1).await?;
            }
            cx.complete_in(&tx).await?;
            tx.commit().await?;
            Ok(())
        },
    );
    let mut started = Vec::new();
    while !started.contains(&"child".to_owned()) {
        started.push(worker.next_start().await.name);
    }
    number_becomes(&client, "SELECT count(*) FROM billing.job", 0).await;
    worker.stop().await;
    let on = billing.on(&client);
    let failed = admin::failed(&on, &admin::FailedFilter::default()).await.unwrap();
    assert_eq!((failed.len(), failed[0].1.id, failed[0].1.state), (1, one, State::Discarded));
    assert_eq!(admin::retry(&on, one).await.unwrap().state, State::Available);
}

/// What a first-time user of a second schema types.
#[tokio::test(flavor = "multi_thread")]
async fn the_programs_use_the_schema_of_the_environment() {
    let db = TestDatabase::empty().await;
    let command = |args: &[&str]| {
        let mut command = worker_command(&db.url, args);
        command.env("POSTRIDER_SCHEMA", " billing\n");
        command
    };
    run(command(&["migrate"])).done();
    run(command(&["migrate"])).done();
    let id = run(command(&["enqueue", "heartbeat"])).done().stdout.trim().to_owned();
    assert_eq!(run(command(&["list", "--json"])).done().json()[0]["id"].to_string(), id);
    run(command(&["cancel", &id])).done();
    assert_eq!(run(command(&["show", &id, "--json"])).done().json()[0]["state"], "cancelled");
    run(command(&["retry", &id])).done();
    run(command(&["pause", "mail"])).done();
    assert!(run(command(&["stats"])).done().stdout.contains("mail"));
    run(command(&["resume", "mail"])).done();
    run(command(&["failed", "--json"])).done();

    let web = WebService::from(web_command(&db.url).env("POSTRIDER_SCHEMA", "billing")).await;
    let answer = web.post("/jobs", &json!({ "kind": "heartbeat" })).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(number(&db.connect().await, "SELECT count(*) FROM billing.jobs").await, 2);

    let mut refused = worker_command(&db.url, ["list"]);
    refused.env("POSTRIDER_SCHEMA", "a; DROP TABLE b");
    let refused = run(refused);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.stderr.contains("POSTRIDER_SCHEMA") && refused.stderr.contains("lower-case"), "{refused:?}");
    // Without the variable it is the schema postrider, which this database does not have.
    let absent = run(worker_command(&db.url, ["run"]));
    assert!(absent.status == 1 && absent.stderr.contains("migrate"), "{absent:?}");
}

#[tokio::test]
async fn the_roles_of_a_schema_have_no_rights_in_another() {
    let db = TestDatabase::empty().await;
    let admin = db.connect().await;
    queue_in(&db, "first").await;
    queue_in(&db, "second").await;
    for name in ["first", "second"] {
        let mut command = worker_command(&db.url, ["roles"]);
        command.env("POSTRIDER_SCHEMA", name);
        let printed = run(command).done().stdout;
        assert_eq!(printed.trim_end(), schema::roles(&Schema::new(name).unwrap()).trim_end());
        admin.batch_execute(&printed).await.unwrap();
    }
    let producer = Login::new(&db, "IN ROLE first_enqueue").await.connect().await;
    producer.batch_execute("SELECT first.enqueue('k')").await.unwrap();
    producer.batch_execute("SELECT second.enqueue('k')").await.unwrap_err();
    let worker = Login::new(&db, "IN ROLE second_worker").await;
    worker.connect().await.batch_execute("SELECT * FROM first.job").await.unwrap_err();
    let database = worker.database().in_schema(Schema::new("second").unwrap());
    let mut running = TestWorker::start(&database, |w| w.queue("default", 1), |_, _| async { Ok(()) });
    enqueue(&database.schema().on(&admin), &task("mine")).await.unwrap();
    assert_eq!(running.next_start().await.name, "mine");
    running.stop().await;
}

/// Two schemas under load, and a worker of one is killed: the other one notices nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_of_one_schema_is_rescued_in_it_and_the_other_is_not_touched() {
    const JOBS: i64 = 2_000;
    let db = TestDatabase::empty().await;
    let client = db.connect().await;
    for name in ["first", "second"] {
        let mut migrate = worker_command(&db.url, ["migrate"]);
        migrate.env("POSTRIDER_SCHEMA", name);
        run(migrate).done();
    }
    let start = |name: &str| {
        let mut command = worker_command(&db.url, ["run", "--queues", "default:50", "--lease", "4s"]);
        Process::spawn(command.env("POSTRIDER_SCHEMA", name).env("LOG_FORMAT", "json"))
    };
    let mut workers = Vec::new();
    for name in ["first", "first", "second"] {
        let worker = start(name);
        worker.wait_for_event("worker ready", PATIENCE).await;
        workers.push(worker);
    }
    let fill = |name: &str| format!("SELECT count({name}.enqueue('heartbeat')) FROM generate_series(1, {JOBS})");
    for name in ["first", "second"] {
        assert_eq!(number(&client, &fill(name)).await, JOBS);
    }
    workers[0].signal(Signal::Kill);
    for name in ["first", "second"] {
        assert_eq!(number(&client, &fill(name)).await, JOBS);
        // The heartbeats of the starts are as many again as there are workers, at most.
        number_becomes(&client, &format!("SELECT count(*) FROM {name}.job"), 0).await;
        let done = format!("SELECT count(DISTINCT id) FROM {name}.job_history WHERE state = 'completed'");
        let (done, rows) =
            (number(&client, &done).await, number(&client, &format!("SELECT count(*) FROM {name}.job_history")).await);
        assert_eq!(done, rows);
        assert!((2 * JOBS..=2 * JOBS + 4).contains(&done), "{name}: {done}");
    }
    number_becomes(&client, "SELECT count(*) FROM first.worker", 1).await;
    assert_eq!(number(&client, "SELECT count(*) FROM second.worker").await, 1);
    assert!(workers[2].events("worker declared dead").is_empty());
    for worker in &mut workers[1..] {
        worker.signal(Signal::Terminate);
        assert!(worker.wait_for_exit(PATIENCE).await.success());
    }
}
