//! A log that nobody reads: standard error is a full pipe.

use std::time::Duration;

use crate::support::command;
use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::process::{Process, Signal};
use crate::support::rows::{job_becomes, number, number_becomes};
use crate::support::web::{WebService, web_command};
use postrider::{Args, NewJob, State, admin, enqueue_many};
use serde_json::{Value, json};
use tokio_postgres::Client;

const SOON: Duration = Duration::from_mins(2);

async fn add(client: &Client, count: usize, args: &Value) -> Vec<i64> {
    let probe = NewJob::new("probe", Args::of(args).unwrap()).unwrap().max_attempts(1).unwrap();
    ids_of(enqueue_many(client, &vec![probe; count]).await.unwrap())
}

/// Each failing job is two lines: far more than the pipe and the buffer hold.
const FAILING: usize = 5_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_log_has_no_reader_still_works_and_ends() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker = Process::spawn(&mut command::worker(&db.url, ["run", "--lease", "5s"]));
    worker.wait_for_event("worker ready", SOON).await;
    let other = Process::spawn(&mut command::worker(&db.url, ["run", "--queues", "other"]));
    other.wait_for_event("worker ready", SOON).await;

    worker.stop_reading_the_log();
    add(&client, FAILING, &json!({"fail": "no luck"})).await;
    let failed = i64::try_from(FAILING).unwrap();
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE state = 'discarded'", failed).await;
    let long = add(&client, 1, &json!({"sleep_ms": 600_000})).await[0];
    job_becomes(&client, long, State::Running).await;
    admin::cancel(&client, long).await.unwrap();
    job_becomes(&client, long, State::Cancelled).await;
    // It lives for the others, too.
    let beat = "SELECT (extract(epoch FROM min(heartbeat_at)) * 1000)::bigint FROM postrider.worker";
    let before = number(&client, beat).await;
    crate::support::wait::until("heartbeats for two leases", SOON, async || {
        (number(&client, beat).await > before + 10_000).then_some(())
    })
    .await;
    assert!(other.events("worker declared dead").is_empty(), "{}", other.log());

    // Once the reader is back, it is told what it has missed.
    worker.read_the_log();
    let told = worker.wait_for_event("log lines dropped", SOON).await;
    assert!(told["count"].as_u64().is_some_and(|count| count > 1_000), "{told}");
    assert_eq!(told["level"], "WARN");

    // And one that never comes back does not hold up the end.
    worker.stop_reading_the_log();
    add(&client, 500, &json!({"fail": "no luck"})).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE state = 'discarded'", failed + 500).await;
    worker.signal(Signal::Terminate);
    crate::support::wait::until("the worker is gone", SOON, async || {
        (number(&client, "SELECT count(*) FROM postrider.worker").await == 1).then_some(())
    })
    .await;
    assert_eq!(worker.wait_for_exit_unread(SOON).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_service_whose_log_has_no_reader_still_answers_and_ends() {
    let db = TestDatabase::new().await;
    let mut web = WebService::from(web_command(&db.url).env("RUST_LOG", "trace")).await;
    web.process.stop_reading_the_log();
    for _ in 0..500 {
        assert_eq!(web.get("/jobs").await.status, 200);
    }
    web.process.signal(Signal::Terminate);
    assert_eq!(web.process.wait_for_exit_unread(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn nothing_in_an_error_acts_on_the_terminal_that_shows_the_log() {
    let hostile = "a\u{1b}[31mb\u{9b}2J\u{7f}\u{e}\u{202e}c\u{200b}\u{e0041}\nd";
    let hides =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{200b}' | '\u{e0000}'..='\u{e007f}');
    for format in ["json", "pretty"] {
        let db = TestDatabase::new().await;
        let client = db.connect().await;
        let mut worker = Process::spawn(command::worker(&db.url, ["run"]).env("LOG_FORMAT", format));
        worker.wait_for_line(|line| line.contains("worker ready"), SOON).await;
        add(&client, 1, &json!({"fail": hostile})).await;
        let line = worker.wait_for_line(|line| line.contains("job discarded"), SOON).await;
        if format == "json" {
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["error"], hostile);
        }
        worker.signal(Signal::Terminate);
        worker.wait_for_exit(SOON).await;
        assert!(!worker.log().lines().any(|line| line.contains(hides)), "{:?}", worker.log());
    }
}
