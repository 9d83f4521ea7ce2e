//! Jobs that kill their worker, and jobs that were merely there (CONFORMANCE 25).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::database::TestDatabase;
use crate::support::rows::{job, job_becomes, number_becomes};
use crate::support::worker::{Starts, Task, TestWorker, task};
use postrider::{Context, JobError, State, admin, enqueue};

const NEIGHBOURS: usize = 3;

/// How many handlers run, and how many did at most.
#[derive(Default)]
struct Crowd {
    running: AtomicUsize,
    most: AtomicUsize,
}

struct Present(Arc<Crowd>);

impl Present {
    fn enter(crowd: &Arc<Crowd>) -> Self {
        let running = crowd.running.fetch_add(1, Ordering::AcqRel) + 1;
        crowd.most.fetch_max(running, Ordering::AcqRel);
        Self(Arc::clone(crowd))
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A worker to be killed when the killer has started. Its neighbours take for ever the first two times.
fn worker(db: &TestDatabase, crowd: &Arc<Crowd>) -> TestWorker {
    let crowd = Arc::clone(crowd);
    let handler = move |task: Task, cx: Context<Starts>| {
        let crowd = Arc::clone(&crowd);
        async move {
            let _present = Present::enter(&crowd);
            if task.name == "killer" || cx.attempt() <= 2 {
                std::future::pending::<()>().await;
            }
            Ok::<_, JobError>(())
        }
    };
    TestWorker::start(&db.database, |w| w.queue("default", 10), handler)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_worker_three_times_while_alone_is_discarded() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let id = enqueue(&client, &task("killer")).await.unwrap().id;
    let crowd = Arc::new(Crowd::default());
    for attempt in 1..=3 {
        let mut worker = worker(&db, &crowd);
        // After the first crash the job runs at once, after the second one in a second.
        assert_eq!(worker.next_start().await.attempt, attempt);
        worker.kill().await;
    }
    let worker = worker(&db, &crowd);
    let discarded = job_becomes(&client, id, State::Discarded).await;
    assert_eq!((discarded.attempt, discarded.max_attempts, discarded.attempt_errors().len()), (3, 25, 3));
    let reason = discarded.error.unwrap();
    assert!(reason.ends_with("the job has now killed its worker 3 times while it ran alone"), "{reason}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_neighbours_of_a_killer_are_spared_from_the_third_time_on() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let crowd = Arc::new(Crowd::default());
    let killer = enqueue(&client, &task("killer")).await.unwrap().id;
    for number in 0..NEIGHBOURS {
        enqueue(&client, &task(format!("neighbour {number}"))).await.unwrap();
    }
    for attempt in 1..=2 {
        let mut worker = worker(&db, &crowd);
        let mut started = HashSet::new();
        while started.len() <= NEIGHBOURS {
            let start = worker.next_start().await;
            assert_eq!(start.attempt, attempt, "{}", start.name);
            started.insert(start.name);
        }
        worker.kill().await;
    }
    // From now on each of them runs alone. Counted anew: a handler of a killed worker may enter the old crowd late.
    let crowd = Arc::new(Crowd::default());
    for _ in 0..3 {
        let mut worker = worker(&db, &crowd);
        while worker.next_start().await.name != "killer" {}
        worker.kill().await;
        // Not to wait for its backoff.
        let rescuer = TestWorker::start(&db.database, |w| w.queue("another", 1), |_, _| async { Ok(()) });
        number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running", 0).await;
        if job(&client, killer).await.state != State::Discarded {
            admin::retry(&client, killer).await.unwrap();
        }
        rescuer.stop().await;
    }
    assert_eq!(crowd.most.load(Ordering::Acquire), 1, "ran at once");
    assert_eq!(job(&client, killer).await.state, State::Discarded);
    let worker = worker(&db, &crowd);
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE state = 'completed'", 3).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    worker.stop().await;
}
