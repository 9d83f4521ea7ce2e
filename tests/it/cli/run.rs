//! `worker run` as a process: its log, its probes, its end.

use std::time::{Duration, Instant};

use crate::support::command::{bash, run, wait_until_signals_are_caught, worker};
use crate::support::database::TestDatabase;
use crate::support::jobs;
use crate::support::process::{Process, Signal};
use crate::support::rows;
use crate::support::timing::takes_less_than;
use crate::support::wait::until;
use postrider::State;
use serde_json::json;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(2);

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

    let slow = enqueue(&database, "probe", r#"{"sleep_ms": 3000}"#);
    let client = database.connect().await;
    handler_runs(&client, &slow, &url).await;
    process.signal(Signal::Terminate);
    assert_eq!(process.wait_for_exit(DEADLINE).await.code(), Some(0), "{}", process.log());
    assert_eq!(process.events("shutdown complete")[0]["abandoned"], json!(0));
    assert!(process.output().is_empty(), "standard output is for data");
    let completed = format!("SELECT count(*) FROM postrider.jobs WHERE id = {slow} AND state = 'completed'");
    assert_eq!(jobs::count(&client, &completed).await, 1);
}

#[tokio::test]
async fn a_terminal_that_goes_away_ends_it_gracefully_unless_that_was_to_be_ignored() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let mut process = Process::spawn(worker(&database.url, ["run"]).env("WORKER_HEALTH", "127.0.0.1:0"));
    let health = process.wait_for_event("health ready", DEADLINE).await;
    let slow = enqueue(&database, "probe", r#"{"sleep_ms": 2000}"#);
    handler_runs(&client, &slow, &format!("http://{}", health["addr"].as_str().unwrap())).await;
    process.signal(Signal::HangUp);
    assert_eq!(process.wait_for_exit(DEADLINE).await.code(), Some(0), "{}", process.log());
    let job = rows::job(&client, slow.parse().unwrap()).await;
    assert_eq!(job.state, State::Completed, "{job:?}\n{}", process.log());

    // As `nohup` starts it.
    let mut nohup = bash(&database.url, "trap '' HUP; exec \"$0\" run");
    nohup.arg(worker(&database.url, ["run"]).get_program());
    let mut process = Process::spawn(&mut nohup);
    process.wait_for_event("worker ready", DEADLINE).await;
    process.signal(Signal::HangUp);
    let after = enqueue(&database, "probe", "{}");
    wait_until(&client, &format!("SELECT count(*) FROM postrider.jobs WHERE id = {after} AND state = 'completed'"))
        .await;
    assert!(process.events("shutting down").is_empty(), "{}", process.log());
    process.signal(Signal::Terminate);
    assert_eq!(process.wait_for_exit(DEADLINE).await.code(), Some(0), "{}", process.log());
}

#[tokio::test]
async fn jobs_that_outlast_the_shutdown_timeout_or_a_second_signal_make_it_fail() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    for (timeout, signals) in [("100ms", 1), ("1h", 2)] {
        let mut command = worker(&database.url, ["run", "--shutdown-timeout", timeout]);
        let mut process = Process::spawn(command.env("WORKER_HEALTH", "127.0.0.1:0"));
        let health = process.wait_for_event("health ready", DEADLINE).await;
        process.wait_for_event("worker heartbeat", DEADLINE).await;
        let slow = enqueue(&database, "probe", r#"{"sleep_ms": 600000}"#);
        handler_runs(&client, &slow, &format!("http://{}", health["addr"].as_str().unwrap())).await;
        process.signal(Signal::Interrupt);
        process.wait_for_event("shutting down", DEADLINE).await;
        if signals == 2 {
            process.signal(Signal::Interrupt);
        }
        assert_eq!(process.wait_for_exit(DEADLINE).await.code(), Some(1), "{}", process.log());
        let released =
            format!("SELECT count(*) FROM postrider.jobs WHERE id = {slow} AND state = 'available' AND attempt = 0");
        assert_eq!(jobs::count(&client, &released).await, 1, "released");
        run(worker(&database.url, ["cancel", &slow])).done();
    }
}

#[tokio::test]
async fn a_signal_before_it_is_ready_ends_it_well_and_at_once() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    // The check of the schema waits for this lock, for up to 5 s.
    client.batch_execute("BEGIN; LOCK TABLE postrider.schema_version").await.unwrap();
    takes_less_than(Duration::from_secs(3), "to end", async || {
        let mut process = Process::spawn(&mut worker(&database.url, ["run"]));
        wait_until_signals_are_caught(process.id());
        let start = Instant::now();
        process.signal(Signal::Terminate);
        assert_eq!(process.wait_for_exit(DEADLINE).await.code(), Some(0), "{}", process.log());
        start.elapsed()
    })
    .await;
}

#[tokio::test]
async fn what_prevents_its_start_is_reported_in_one_line() {
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

/// Waits until the job's handler has begun. Before that it would be released.
async fn handler_runs(client: &tokio_postgres::Client, id: &str, health_url: &str) {
    wait_until(client, "SELECT count(*) FROM postrider.jobs WHERE kind = 'heartbeat' AND state = 'completed'").await;
    wait_until(client, &format!("SELECT count(*) FROM postrider.jobs WHERE id = {id} AND state = 'running'")).await;
    until("an attempt runs", DEADLINE, async || {
        let metrics = reqwest::get(format!("{health_url}/metrics")).await.unwrap().text().await.unwrap();
        metrics.contains("postrider_worker_running 1").then_some(())
    })
    .await;
}

/// Waits until the count is not 0.
async fn wait_until(client: &tokio_postgres::Client, query: &str) {
    until(query, DEADLINE, async || (jobs::count(client, query).await > 0).then_some(())).await;
}
