//! A worker process that is frozen for longer than its lease (CONFORMANCE 26).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use postrider::{State, operate};
use support::command;
use support::database::TestDatabase;
use support::process::{Process, Signal};
use support::rows::{job, job_becomes, number_becomes};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_frozen_beyond_its_lease_writes_nothing_and_starts_anew() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let start = || Process::spawn(&mut command::worker(&db.url, ["run", "--lease", "2s"]));
    let frozen = start();
    let id = frozen.wait_for_event("worker ready", SOON).await["worker_id"].clone();
    let enqueue = "SELECT postrider.enqueue('probe', '{\"sleep_ms\": 1500}')";
    let job_id: i64 = client.query_one(enqueue, &[]).await.unwrap().get(0);
    job_becomes(&client, job_id, State::Running).await;
    frozen.signal(Signal::Stop);
    let heir = start();
    assert_eq!(heir.wait_for_event("job rescued", SOON).await["worker_id"], id);
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running AND attempt = 2", 1).await;
    frozen.signal(Signal::Continue);
    frozen.wait_for_event("worker was given up by the others; registered anew", SOON).await;
    let done = job_becomes(&client, job_id, State::Completed).await;
    assert_eq!((done.attempt, done.attempt_errors().len()), (2, 1));
    assert_ne!(serde_json::json!(done.attempted_by.unwrap().to_string()), id);
    assert!(operate::retry_failed(&client, job_id).await.is_ok_and(|is_back| !is_back));
    assert_eq!(job(&client, job_id).await.state, State::Completed);
}
