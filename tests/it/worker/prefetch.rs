//! Jobs that a worker claims before a slot is free for them: never for long, and never at their cost
//! (CONFORMANCE 11, 36).

use std::sync::Arc;
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::rows::number_becomes;
use crate::support::worker::{Starts, TestWorker, task};
use postrider::{Context, NewJob, enqueue_many};
use tokio::sync::Semaphore;

/// Enough for a worker to claim ahead.
const QUICK: usize = 3_000;
const SLOW: usize = 500;

/// A worker of two slots that has done all quick jobs and is held up by two of the slow ones, which
/// end when the gate opens.
async fn held_up(db: &TestDatabase, gate: &Arc<Semaphore>) -> TestWorker {
    let jobs = |name: &str, count| -> Vec<NewJob> { (0..count).map(|_| NewJob::of(&task(name)).unwrap()).collect() };
    let client = db.connect().await;
    enqueue_many(&client, &[jobs("quick", QUICK), jobs("slow", SLOW)].concat()).await.unwrap();
    let gate = Arc::clone(gate);
    let mut worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 2).shutdown_timeout(Duration::from_millis(50)),
        move |task, _: Context<Starts>| {
            let gate = Arc::clone(&gate);
            async move {
                if task.name == "slow" {
                    gate.acquire().await?.forget();
                }
                Ok(())
            }
        },
    );
    let mut slow = 0;
    while slow < 2 {
        slow += usize::from(worker.next_start().await.name == "slow");
    }
    worker
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_claimed_ahead_that_gets_no_slot_is_released_within_a_second_and_not_counted() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    let worker = held_up(&db, &gate).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running", 2).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE attempt <> running::int", 0).await;
    gate.add_permits(SLOW);
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE attempt <> 1", 0).await;
    let metrics = worker.stop_for_metrics().await;
    assert!(metrics.released() > 0, "none was claimed ahead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_releases_what_it_claimed_ahead() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = held_up(&db, &Arc::new(Semaphore::new(0))).await;
    let metrics = Arc::clone(&worker.metrics);
    assert_eq!(worker.stop().await.abandoned, 2, "only those that had started were cut off");
    assert!(metrics.released() > 2, "none was claimed ahead");
    let left = "SELECT count(*) FROM postrider.job WHERE NOT running AND attempt = 0 AND attempted_at IS NOT NULL";
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running OR attempt <> 0", 0).await;
    number_becomes(&client, left, i64::try_from(metrics.released()).unwrap()).await;
}
