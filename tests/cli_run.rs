//! `worker run` as a process: what it says, serves, and how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::command::{run, wait_until_signals_are_caught, worker};
use support::database::TestDatabase;
use support::jobs;
use support::process::{Process, Signal};
use support::wait::until;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

fn enqueue(database: &TestDatabase, kind: &str, args: &str) -> String {
    run(worker(&database.url, ["enqueue", kind, args])).done().stdout.trim_end().to_owned()
}

#[tokio::test]
async fn from_an_empty_database_it_migrates_is_ready_serves_its_health_and_drains() {
    let database = TestDatabase::empty().await;
    let mut command = worker(&database.url, ["run", "--migrate", "--queues", "default:3,mail"]);
    // A flag of the environment counts as one that was typed.
    command.env("WORKER_HEALTH", "127.0.0.1:0").env("WORKER_POLL_INTERVAL", "50ms");
    let mut process = Process::spawn(&mut command);
    let ready = process.wait_for_event("worker ready", DEADLINE).await;
    assert_eq!(ready["level"], json!("INFO"), "fields stand at top level: {ready}");
    assert!(ready["timestamp"].is_string() && ready["worker_id"].is_string(), "{ready}");
    assert!(ready["queues"].to_string().contains("mail"), "{ready}");
    let health = process.wait_for_event("health ready", DEADLINE).await;
    let url = format!("http://{}", health["addr"].as_str().unwrap());
    for path in ["healthz", "readyz", "metrics"] {
        let answer = reqwest::get(format!("{url}/{path}")).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }

    let slow = enqueue(&database, "probe", r#"{"sleep_ms": 500}"#);
    let client = database.connect().await;
    let running = format!("SELECT count(*) FROM postrider.jobs WHERE id = {slow} AND state = 'running'");
    wait_until(&client, &running).await;
    process.signal(Signal::Terminate);
    assert_eq!(process.wait_for_exit(DEADLINE).await.code(), Some(0), "{}", process.log());
    assert_eq!(process.events("shutdown complete")[0]["abandoned"], json!(0));
    assert!(process.output().is_empty(), "standard output is for data");
    let completed = format!("SELECT count(*) FROM postrider.jobs WHERE id = {slow} AND state = 'completed'");
    assert_eq!(jobs::count(&client, &completed).await, 1);
}

#[tokio::test]
async fn jobs_that_outlast_the_shutdown_timeout_or_a_second_signal_make_it_fail() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    for (timeout, signals) in [("100ms", 1), ("1h", 2)] {
        let mut process = Process::spawn(&mut worker(&database.url, ["run", "--shutdown-timeout", timeout]));
        process.wait_for_event("worker ready", DEADLINE).await;
        let slow = enqueue(&database, "probe", r#"{"sleep_ms": 600000}"#);
        wait_until(&client, &format!("SELECT count(*) FROM postrider.jobs WHERE id = {slow} AND state = 'running'"))
            .await;
        process.signal(Signal::Interrupt);
        process.wait_for_event("shutting down", DEADLINE).await;
        if signals == 2 {
            process.signal(Signal::Interrupt);
        }
        assert_eq!(process.wait_for_exit(DEADLINE).await.code(), Some(1), "{}", process.log());
        let given_back =
            format!("SELECT count(*) FROM postrider.jobs WHERE id = {slow} AND state = 'available' AND attempt = 0");
        assert_eq!(jobs::count(&client, &given_back).await, 1, "given back unspent");
        run(worker(&database.url, ["cancel", &slow])).done();
    }
}

#[tokio::test]
async fn a_signal_before_it_is_ready_ends_it_well_and_at_once() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    // The look at the schema waits for this lock, for up to 5 s.
    client.batch_execute("BEGIN; LOCK TABLE postrider_queue_migrations").await.unwrap();
    let mut process = Process::spawn(&mut worker(&database.url, ["run"]));
    wait_until_signals_are_caught(process.id());
    let start = Instant::now();
    process.signal(Signal::Terminate);
    assert_eq!(process.wait_for_exit(DEADLINE).await.code(), Some(0), "{}", process.log());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_it_cannot_start_with_is_told_in_one_line() {
    let database = TestDatabase::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let ran = run(worker(&database.url, ["run", "--health", &addr]));
    assert_eq!(ran.status, 1, "{ran:?}");
    let told = format!("worker: --health: cannot listen on {addr}: ");
    assert!(ran.stderr.lines().any(|line| line.starts_with(&told)), "{ran:?}");

    let unreachable = run(worker("postgres://ada:hunter2@127.0.0.1:1/db", ["run"]));
    assert_eq!(unreachable.status, 1);
    assert_eq!(unreachable.stderr.lines().count(), 1, "{unreachable:?}");
    assert!(unreachable.stderr.contains("127.0.0.1:1") && !unreachable.stderr.contains("hunter2"), "{unreachable:?}");
}

/// Waits until the count is not 0.
async fn wait_until(client: &tokio_postgres::Client, query: &str) {
    until(query, DEADLINE, async || (jobs::count(client, query).await > 0).then_some(())).await;
}
