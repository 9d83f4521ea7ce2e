//! A LISTEN connection that falls silent and stays open, as behind a firewall that has forgotten it
//! (CONFORMANCE 28, 29).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::{Duration, Instant};

use postrider::{Args, JobId, NewJob, State, enqueue, operate};
use serde_json::json;
use support::command;
use support::database::TestDatabase;
use support::process::Process;
use support::proxy::Proxy;
use support::rows::{job, job_becomes, number_becomes, workers_listen};
use tokio_postgres::Client;

const SOON: Duration = Duration::from_secs(20);

async fn add(client: &Client, queue: &str, args: &serde_json::Value) -> JobId {
    let job = NewJob::new("probe", Args::of(args).unwrap()).unwrap().queue(queue).unwrap();
    enqueue::enqueue_new(client, &job).await.unwrap()
}

// CONFORMANCE 28, 29
#[tokio::test]
async fn a_silent_listener_is_noticed_within_15_s_and_nothing_waits_for_it() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let proxy = Proxy::new(&db).await;
    let start = |queues: &str, poll: &str| {
        Process::spawn(&mut command::worker(&proxy.url, ["run", "--queues", queues, "--poll-interval", poll]))
    };
    // One that polls as by default, and one to which only its listener tells anything.
    let polls = start("polled:5,paused:5,default:5", "1s");
    let relies = start("told:5", "1h");
    for worker in [&polls, &relies] {
        assert_eq!(worker.wait_for_event("worker ready", SOON).await["listen"], true);
    }
    workers_listen(&client, 2).await;
    let running = add(&client, "polled", &json!({"sleep_ms": 60_000})).await;
    job_becomes(&client, running, State::Running).await;

    let silent = Instant::now();
    proxy.swallow_answers("listen");
    let told = add(&client, "told", &json!({})).await;
    let polled = add(&client, "polled", &json!({})).await;
    operate::pause(&client, "paused").await.unwrap();
    let paused = add(&client, "paused", &json!({})).await;
    operate::cancel(&client, running).await.unwrap();
    job_becomes(&client, polled, State::Completed).await;
    job_becomes(&client, running, State::Cancelled).await;
    assert_eq!(polls.events("listener restored").len(), 0, "all of that before it hears again");
    assert_eq!(job(&client, paused).await.state, State::Available);

    for worker in [&polls, &relies] {
        worker.wait_for_event("listener lost", SOON).await;
    }
    assert!(silent.elapsed() < Duration::from_secs(15), "{:?}", silent.elapsed());
    // What was told to deaf ears is found by the look that follows.
    job_becomes(&client, told, State::Completed).await;
    for worker in [&polls, &relies] {
        worker.wait_for_event("listener restored", SOON).await;
        assert_eq!(worker.events("listener lost").len(), 1, "{}", worker.log());
    }
    let heard = add(&client, "told", &json!({})).await;
    job_becomes(&client, heard, State::Completed).await;
    operate::resume(&client, "paused").await.unwrap();
    job_becomes(&client, paused, State::Completed).await;
}

// CONFORMANCE 28
#[tokio::test]
async fn a_listener_cut_off_on_both_sides_is_restored_although_the_server_keeps_its_former_session() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let proxy = Proxy::new(&db).await;
    let worker = Process::spawn(&mut command::worker(&proxy.url, ["run", "--poll-interval", "1h"]));
    worker.wait_for_event("worker ready", SOON).await;
    workers_listen(&client, 1).await;
    proxy.fall_silent("listen");
    worker.wait_for_event("listener lost", SOON).await;
    worker.wait_for_event("listener restored", SOON).await;
    let sessions = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'postrider listen'";
    number_becomes(&client, sessions, 1).await;
    workers_listen(&client, 1).await;
    let heard = add(&client, "default", &json!({})).await;
    job_becomes(&client, heard, State::Completed).await;
}
