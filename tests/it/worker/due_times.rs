//! Jobs that start at a time to come (CONFORMANCE 32).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::rows::workers_listen;
use crate::support::timing::takes_less_than;
use crate::support::worker::{Starts, Task, TestWorker, task};
use postrider::{Context, JobError, NewJob, enqueue, enqueue_many};

const NEVER: Duration = Duration::from_hours(1);

async fn ok(_: Task, _: Context<Starts>) -> Result<(), JobError> {
    Ok(())
}

// CONFORMANCE 32
#[tokio::test(flavor = "multi_thread")]
async fn due_jobs_start_at_their_time_while_a_worker_listens() {
    // Wanted are 50 ms.
    takes_less_than(Duration::from_millis(250), "how late 95 % are at most", lateness).await;
}

/// By how much all but the latest twentieth of some jobs start late, at most. None starts early.
async fn lateness() -> Duration {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    // Half are there before the worker, half come while it listens.
    let scheduled = |delay_ms: u64| {
        let client = &client;
        async move {
            enqueue(client, &task("due")).run_in(Duration::from_millis(delay_ms)).await.unwrap();
        }
    };
    for number in 0..10 {
        scheduled(1500 + 97 * number).await;
    }
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 20).poll_interval(NEVER), ok);
    workers_listen(&client, 1).await;
    for number in 0..10 {
        scheduled(300 + 89 * number).await;
    }
    for _ in 0..20 {
        worker.next_start().await;
    }
    // Both times are the database's, so that no other clock takes part.
    let late = "SELECT (max(late) FILTER (WHERE place <= 19))::bigint, min(late)::bigint FROM (
                    SELECT extract(epoch FROM attempted_at - run_at) * 1000 AS late,
                           row_number() OVER (ORDER BY attempted_at - run_at) AS place
                    FROM postrider.jobs) AS j";
    let row = client.query_one(late, &[]).await.unwrap();
    let (p95_ms, min_ms): (i64, i64) = (row.get(0), row.get(1));
    assert!(min_ms >= 0, "{min_ms} ms late is early");
    worker.stop().await;
    Duration::from_millis(p95_ms.unsigned_abs())
}

// CONFORMANCE 32: the neighbours, retries and snoozes
#[tokio::test(flavor = "multi_thread")]
async fn retried_and_snoozed_jobs_start_at_their_time_without_a_poll() {
    for listen in [true, false] {
        let db = TestDatabase::new().await;
        let client = db.connect().await;
        // There before the worker, so that it finds them without a notification.
        ids_of(
            enqueue_many(&client, &[NewJob::of(&task("retry")).unwrap(), NewJob::of(&task("snooze")).unwrap()])
                .await
                .unwrap(),
        );
        let snoozed = Arc::new(AtomicBool::new(false));
        let mut worker = TestWorker::start(
            &db.database,
            |w| w.queue("default", 1).poll_interval(NEVER).listen(listen),
            move |task, cx| {
                let snoozed = Arc::clone(&snoozed);
                async move {
                    let soon = Duration::from_millis(150);
                    match task.name.as_str() {
                        "retry" if cx.attempt() == 1 => Err(JobError::retry_after("not yet", soon)),
                        "snooze" if !snoozed.swap(true, Ordering::AcqRel) => Err(JobError::snooze(soon)),
                        _ => Ok(()),
                    }
                }
            },
        );
        let mut starts = Vec::new();
        for _ in 0..4 {
            let started = worker.next_start().await;
            starts.push((started.name, started.attempt));
        }
        starts.sort();
        let wanted = [("retry", 1), ("retry", 2), ("snooze", 1), ("snooze", 1)];
        assert_eq!(starts, wanted.map(|(name, attempt)| (name.to_owned(), attempt)));
        worker.stop().await;
    }
}
