//! A worker process that is frozen for longer than its lease (CONFORMANCE 26).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use postrider::{State, operate};
use support::command;
use support::database::TestDatabase;
use support::process::{Process, Signal};
use support::rows::{job, job_becomes, number, number_becomes};

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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_frozen_worker_had_claimed_ahead_it_does_not_begin_when_it_thaws() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let start = |queues| Process::spawn(&mut command::worker(&db.url, ["run", "--lease", "2s", "--queues", queues]));
    let mut frozen = start("default:2");
    frozen.wait_for_event("worker ready", SOON).await;
    let many = "SELECT postrider.enqueue('probe', '{\"sleep_ms\": 5}') FROM generate_series(1, 3000)";
    client.execute(many, &[]).await.unwrap();
    number_becomes(&client, "SELECT (count(*) > 300)::int::bigint FROM postrider.job_history", 1).await;
    frozen.signal(Signal::Stop);
    let held = number(&client, "SELECT count(*) FROM postrider.job WHERE running").await;
    assert!(held > 2, "none was claimed ahead");
    let heir = start("default:50");
    heir.wait_for_event("job rescued", SOON).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    frozen.signal(Signal::Continue);
    frozen.wait_for_event("worker was given up by the others; registered anew", SOON).await;
    frozen.signal(Signal::Terminate);
    assert!(frozen.wait_for_exit(SOON).await.success());
    let log = frozen.log();
    let ran_on = log.matches("stale attempt").count() + log.matches("attempt was given to another worker").count();
    assert!(ran_on <= 2, "{ran_on} attempts of others' jobs with two slots:\n{log}");
    assert!(log.contains("a job to be given back is another worker's already"), "none was ready:\n{log}");
}
