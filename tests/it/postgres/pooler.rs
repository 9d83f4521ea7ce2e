//! Through `PgBouncer` in transaction mode: all works by polling, or by LISTEN over a direct address,
//! and nothing is left behind in sessions that others use (CONFORMANCE 30).

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use crate::support::command;
use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::pooler::Pooler;
use crate::support::process::{Process, Signal};
use crate::support::producer::all_finished_once;
use crate::support::rows::{job, job_becomes, number, number_becomes, workers_listen};
use postrider::schema::MigrationSet::{App, Queue};
use postrider::{Args, Database, NewJob, State, enqueue, enqueue_copy, enqueue_many};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

const SOON: Duration = Duration::from_mins(2);
const PROBES_LEFT: &str = "SELECT count(*) FROM postrider.job WHERE kind = 'probe'";

fn probe(args: &Value) -> NewJob {
    NewJob::new("probe", Args::of(args).unwrap()).unwrap()
}

/// A command through the pooler, with the direct address beside it.
fn through<A: AsRef<OsStr>>(pooler: &Pooler, db: &TestDatabase, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = command::worker(&pooler.url, args);
    command.env("DATABASE_LISTEN_URL", &db.url);
    command
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Checks each of the pooler's two connections as its next client would find it.
pub async fn assert_sessions_are_as_new(pooler: &Pooler) {
    let (mut one, mut other) = (connect(&pooler.url).await, connect(&pooler.url).await);
    let (one, other) = (one.transaction().await.unwrap(), other.transaction().await.unwrap());
    let backend = "SELECT pg_backend_pid()";
    let mut pids = Vec::new();
    for session in [&one, &other] {
        pids.push(session.query_typed(backend, &[]).await.unwrap()[0].get::<_, i32>(0));
        let ask = async |query: &str| -> Vec<String> {
            session.query_typed(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
        };
        let prepared = ask("SELECT statement FROM pg_prepared_statements").await;
        assert!(prepared.is_empty(), "{prepared:?}");
        // The pooler itself keeps a few of the client's own up to date.
        let changed = ask("SELECT name || ' = ' || setting FROM pg_settings
                           WHERE source = 'session' AND name NOT IN (
                               'application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')
                             AND name NOT LIKE 'transaction_%'").await;
        assert!(changed.is_empty(), "{changed:?}");
        let locks =
            ask("SELECT objid::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()").await;
        assert!(locks.is_empty(), "{locks:?}");
    }
    assert_ne!(pids[0], pids[1]);
}

// CONFORMANCE 30
#[tokio::test]
async fn all_works_by_polling_and_the_mode_is_logged_once() {
    let db = TestDatabase::new().await;
    let pooler = Pooler::start(&db, 2).await;
    let client = db.connect().await;
    let start = || {
        let args = ["run", "--lease", "5s", "--heartbeat-interval", "1s", "--poll-interval", "200ms"];
        Process::spawn(&mut command::worker(&pooler.url, args))
    };
    let (mut worker, dying) = (start(), start());
    for worker in [&worker, &dying] {
        let ready = worker.wait_for_event("worker ready", SOON).await;
        assert_eq!(ready["listen"], false);
    }

    // All ways to add jobs.
    let database = Database::from_url(&pooler.url).unwrap();
    let mut session = database.client().await.unwrap();
    let mut ids = vec![enqueue::enqueue_job(&session, probe(&json!({}))).await.unwrap().id];
    ids.extend(ids_of(enqueue_many(&session, &vec![probe(&json!({})); 100]).await.unwrap()));
    let transaction = session.transaction().await.unwrap();
    assert_eq!(enqueue_copy(&transaction, (0..100).map(|_| Ok(probe(&json!({}))))).await.unwrap(), 100);
    transaction.commit().await.unwrap();
    drop(session);
    let fails_once = NewJob::new("probe", Args::of(&json!({"fail_times": 1})).unwrap()).unwrap();
    let retried = enqueue::enqueue_job(&client, fails_once).await.unwrap().id;
    assert_eq!(job_becomes(&client, retried, State::Completed).await.attempt, 2);
    ids.push(retried);
    number_becomes(&client, PROBES_LEFT, 0).await;
    // Ticks of a periodic job.
    worker.wait_for_nth_event("worker heartbeat", 1, SOON).await;
    number_becomes(&client, "SELECT least(count(*), 3) FROM postrider.jobs WHERE kind = 'heartbeat'", 3).await;

    // The operator's commands.
    let run = |args: &[&str]| command::run(through(&pooler, &db, args)).done();
    let held = enqueue::enqueue_job(&client, probe(&json!({"sleep_ms": 600_000}))).await.unwrap().id;
    job_becomes(&client, held, State::Running).await;
    run(&["cancel", &held.to_string()]);
    job_becomes(&client, held, State::Cancelled).await;
    run(&["pause", "default"]);
    let paused = run(&["enqueue", "probe", r#"{"fail": "no luck"}"#, "--max-attempts", "1"]).stdout;
    let paused = paused.trim().parse().unwrap();
    assert_eq!(run(&["stats", "--json"]).json()[0]["paused"], true);
    assert_eq!(job(&client, paused).await.state, State::Available);
    run(&["resume", "default"]);
    job_becomes(&client, paused, State::Discarded).await;
    assert_eq!(run(&["failed", "--json"]).json()[0]["id"], paused);
    assert_eq!(run(&["show", &paused.to_string(), "--json"]).json()[0]["error"], "no luck");
    assert!(run(&["list", "--json", "--kind", "probe", "--limit", "10"]).json().len() == 10);
    run(&["retry", &paused.to_string()]);
    let again = "SELECT count(*) FROM postrider.jobs WHERE state = 'discarded' AND jsonb_array_length(errors) = 2";
    number_becomes(&client, again, 1).await;

    // A killed worker: without a liveness lock only its heartbeat shows it.
    let lost = ids_of(enqueue_many(&client, &vec![probe(&json!({"sleep_ms": 3000})); 200]).await.unwrap());
    number_becomes(&client, "SELECT count(DISTINCT attempted_by) FROM postrider.job WHERE running", 2).await;
    dying.signal(Signal::Kill);
    worker.wait_for_event("job rescued", SOON).await;
    number_becomes(&client, PROBES_LEFT, 0).await;
    ids.extend(lost);
    let done = "SELECT count(DISTINCT id) FROM postrider.job_history WHERE id = ANY ($1) AND state = 'completed'";
    let done: i64 = client.query_one(done, &[&ids]).await.unwrap().get(0);
    assert_eq!(done, i64::try_from(ids.len()).unwrap());

    let told = worker.events("cannot listen for new jobs; polling");
    assert_eq!(told.len(), 1, "{}", worker.log());
    assert!(told[0]["reason"].as_str().unwrap().contains("DATABASE_LISTEN_URL"), "{told:?}");
    assert_eq!(worker.events("listener lost").len(), 0);
    assert_sessions_are_as_new(&pooler).await;
    worker.signal(Signal::Terminate);
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(0));
}

// CONFORMANCE 30
#[tokio::test]
async fn with_a_direct_address_beside_it_workers_listen_and_migrators_take_turns() {
    let db = TestDatabase::empty().await;
    let pooler = Pooler::start(&db, 2).await;
    for _ in 0..2 {
        command::run(through(&pooler, &db, ["migrate"])).done();
    }
    db.database.require_schema(&[Queue, App]).await.unwrap();
    let mut worker = Process::spawn(&mut through(&pooler, &db, ["run", "--poll-interval", "1h"]));
    assert_eq!(worker.wait_for_event("worker ready", SOON).await["listen"], true);
    let client = db.connect().await;
    workers_listen(&client, 1).await;
    let session = Database::from_url(&pooler.url).unwrap().client().await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..20 {
        let id = enqueue::enqueue_job(&session, probe(&json!({}))).await.unwrap().id;
        job_becomes(&client, id, State::Completed).await;
        ids.push(id);
    }
    all_finished_once(&client, &ids).await;
    assert!(worker.log().lines().all(|line| !line.contains("WARN")), "{}", worker.log());
    drop(session);
    assert_sessions_are_as_new(&pooler).await;
    worker.signal(Signal::Terminate);
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(0));
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.worker").await, 0);
}

// CONFORMANCE 30: the neighbour, a notification that arrives while the pooler lends the connection out
#[tokio::test]
async fn a_pooled_connection_is_not_taken_for_a_direct_one_by_a_notification_that_came_by_chance() {
    let db = TestDatabase::new().await;
    let pooler = Pooler::start(&db, 2).await;
    let client = db.connect().await;
    let mut command = command::worker(&pooler.url, ["run", "--poll-interval", "200ms"]);
    let worker = Process::spawn(&mut command);
    let id = worker.wait_for_event("worker ready", SOON).await["worker_id"].as_str().unwrap().replace('-', "");
    // As its own heartbeats would be, at whatever instant the next LISTEN is under way.
    let noise = tokio::spawn(async move {
        while client.execute("SELECT pg_notify($1, '0')", &[&format!("postrider_ping_{id}")]).await.is_ok() {}
    });
    // It tries three times before it gives up.
    let _ = tokio::time::timeout(Duration::from_secs(8), worker.wait_for_event("listener restored", SOON)).await;
    noise.abort();
    assert_eq!(worker.events("listener restored").len(), 0, "{}", worker.log());
}
