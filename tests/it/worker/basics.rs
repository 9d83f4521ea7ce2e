//! A worker claims, runs and finishes jobs (CONFORMANCE 7, 8, 10 to 12, 16).

use crate::support::database::TestDatabase;
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{TestWorker, task};
use postrider::{admin, enqueue};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_run_and_kept_in_history() {
    let db = TestDatabase::new().await;
    let client = db.database.client().await.unwrap();
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 10), |_, _| async { Ok(()) });
    let id = enqueue(&client, &task("one")).await.unwrap().id;
    let started = worker.next_start().await;
    assert_eq!((started.job_id, started.attempt, started.name.as_str()), (id, 1, "one"));
    let job = until("the job is completed", PATIENCE, || async {
        admin::find(&client, id).await.unwrap().filter(|job| job.state == postrider::State::Completed)
    })
    .await;
    assert!(job.finished_at.is_some() && job.attempted_by.is_some());
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.abandoned), (0, 0));
}
