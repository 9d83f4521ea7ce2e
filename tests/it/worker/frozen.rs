//! A worker process that is frozen for longer than its lease (CONFORMANCE 26).

use std::time::Duration;

use crate::support::command;
use crate::support::database::TestDatabase;
use crate::support::process::{Process, Signal};
use crate::support::rows::{job, job_becomes, number, number_becomes};
use crate::support::wait::until;
use chrono::{DateTime, Utc};
use postrider::{State, admin};

const SOON: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_frozen_beyond_its_lease_writes_nothing_and_starts_anew() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let start = || Process::spawn(&mut command::worker(&db.url, ["run", "--lease", "5s"]));
    let frozen = start();
    let id = frozen.wait_for_event("worker ready", SOON).await["worker_id"].clone();
    let enqueue = "SELECT postrider.enqueue('probe', '{\"sleep_ms\": 5000}')";
    let job_id: i64 = client.query_one(enqueue, &[]).await.unwrap().get(0);
    job_becomes(&client, job_id, State::Running).await;
    frozen.signal(Signal::Stop);
    let heir = start();
    assert_eq!(heir.wait_for_event("job rescued", SOON).await["worker_id"], id);
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running AND attempt = 2", 1).await;
    frozen.signal(Signal::Continue);
    frozen.wait_for_event("peers declared this worker dead; registered again", SOON).await;
    let done = job_becomes(&client, job_id, State::Completed).await;
    assert_eq!((done.attempt, done.attempt_errors().len()), (2, 1));
    assert_ne!(serde_json::json!(done.attempted_by.unwrap().to_string()), id);
    assert!(admin::retry_failed(&client, job_id).await.is_ok_and(|is_back| !is_back));
    assert_eq!(job(&client, job_id).await.state, State::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_frozen_worker_had_claimed_ahead_it_does_not_begin_when_it_thaws() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let start = |queues, log| {
        let args = ["run", "--lease", "5s", "--heartbeat-interval", "1h", "--queues", queues];
        Process::spawn(command::worker(&db.url, args).env("RUST_LOG", log))
    };
    let mut frozen = start("default:2", "info");
    frozen.wait_for_event("worker ready", SOON).await;
    // Each logs that it begins.
    let many = "SELECT postrider.enqueue('heartbeat') FROM generate_series(1, 20000)";
    client.execute(many, &[]).await.unwrap();
    number_becomes(&client, "SELECT (count(*) > 300)::int::bigint FROM postrider.job_history", 1).await;
    let held = until("it is frozen with jobs that it has claimed ahead", SOON, async || {
        frozen.signal(Signal::Stop);
        let held = number(&client, "SELECT count(*) FROM postrider.job WHERE running").await;
        if held <= 2 {
            // Between two claims.
            frozen.signal(Signal::Continue);
        }
        (held > 2).then_some(held)
    })
    .await;
    // Without a line for each of its jobs: they are more than the buffer of the log holds, so some lines are dropped.
    let heir = start("default:50", "warn");
    heir.wait_for_event("job rescued", SOON).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    let thaw = Utc::now();
    frozen.signal(Signal::Continue);
    frozen.wait_for_event("peers declared this worker dead; registered again", SOON).await;
    frozen.signal(Signal::Terminate);
    assert!(frozen.wait_for_exit(SOON).await.success());
    let begins = frozen.events("worker heartbeat");
    let at = |event: &serde_json::Value| event["timestamp"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    let late = begins.iter().filter(|event| at(event) > thaw).count();
    // In each slot one may have been about to begin.
    assert!(late <= 2, "{late} of {held} began when they were others' already");
}
