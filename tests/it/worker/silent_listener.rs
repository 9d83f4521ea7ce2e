//! A LISTEN connection that falls silent and stays open, as behind a firewall that has forgotten it
//! (CONFORMANCE 28, 29).

use std::time::{Duration, Instant};

use crate::support::command;
use crate::support::database::TestDatabase;
use crate::support::process::Process;
use crate::support::proxy::Proxy;
use crate::support::rows::{job, job_becomes, number_becomes, workers_listen};
use crate::support::timing::takes_less_than;
use postrider::{Args, JobId, NewJob, State, admin, enqueue};
use serde_json::json;
use tokio_postgres::Client;

const SOON: Duration = Duration::from_mins(1);

async fn add(client: &Client, queue: &str, args: &serde_json::Value) -> JobId {
    let job = NewJob::new("probe", Args::of(args).unwrap()).unwrap().queue(queue).unwrap();
    enqueue::enqueue_job(client, job).await.unwrap().id
}

// CONFORMANCE 28, 29
#[tokio::test]
async fn a_silent_listener_is_noticed_within_15_s_and_nothing_waits_for_it() {
    takes_less_than(Duration::from_secs(15), "to notice a silent listener", notice_a_silent_listener).await;
}

/// Returns how long it took.
async fn notice_a_silent_listener() -> Duration {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let proxy = Proxy::new(&db).await;
    let start = |queues: &str, poll: &str| {
        Process::spawn(&mut command::worker(&proxy.url, ["run", "--queues", queues, "--poll-interval", poll]))
    };
    // One that polls as by default, and one that depends on its listener.
    let polls = start("polled:5,paused:5,default:5", "1s");
    let relies = start("told:5", "1h");
    for worker in [&polls, &relies] {
        assert_eq!(worker.wait_for_event("worker ready", SOON).await["listen"], true);
    }
    workers_listen(&client, 2).await;
    let running = add(&client, "polled", &json!({"sleep_ms": 600_000})).await;
    job_becomes(&client, running, State::Running).await;

    let silent = Instant::now();
    proxy.swallow_answers("listen");
    let told = add(&client, "told", &json!({})).await;
    let polled = add(&client, "polled", &json!({})).await;
    admin::pause(&client, "paused").await.unwrap();
    let paused = add(&client, "paused", &json!({})).await;
    admin::cancel(&client, running).await.unwrap();
    job_becomes(&client, polled, State::Completed).await;
    job_becomes(&client, running, State::Cancelled).await;
    assert_eq!(polls.events("listener restored").len(), 0, "all of that before it hears again");
    assert_eq!(job(&client, paused).await.state, State::Available);

    for worker in [&polls, &relies] {
        worker.wait_for_event("listener lost", SOON).await;
    }
    let took = silent.elapsed();
    // Jobs whose notification was lost are found by the poll that follows.
    job_becomes(&client, told, State::Completed).await;
    for worker in [&polls, &relies] {
        worker.wait_for_event("listener restored", SOON).await;
        assert_eq!(worker.events("listener lost").len(), 1, "{}", worker.log());
    }
    let heard = add(&client, "told", &json!({})).await;
    job_becomes(&client, heard, State::Completed).await;
    admin::resume(&client, "paused").await.unwrap();
    job_becomes(&client, paused, State::Completed).await;
    took
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
