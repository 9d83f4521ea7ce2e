//! A worker claims, runs and finishes jobs (CONFORMANCE 7, 8, 10 to 12, 16).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use postrider::{enqueue, operate};
use support::database::TestDatabase;
use support::wait::until;
use support::worker::{TestWorker, task};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_run_and_kept_in_history() {
    let db = TestDatabase::new().await;
    let client = db.database.client().await.unwrap();
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 10), |_, _| async { Ok(()) });
    let id = enqueue(&client, &task("one")).await.unwrap();
    let started = worker.next_start().await;
    assert_eq!((started.job_id, started.attempt, started.name.as_str()), (id, 1, "one"));
    let job = until("the job is completed", Duration::from_secs(5), || async {
        operate::find(&client, id).await.unwrap().filter(|job| job.state == postrider::State::Completed)
    })
    .await;
    assert!(job.finished_at.is_some() && job.attempted_by.is_some());
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.abandoned), (0, 0));
}
