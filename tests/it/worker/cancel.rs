//! Cancel and retry, from outside (CONFORMANCE 29, 40).

use std::sync::Arc;
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::rows::{job, job_becomes, number, number_becomes, terminate_backends, workers_listen};
use crate::support::timing::takes_less_than;
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, Task, TestWorker, task};
use postrider::{Context, Error, JobError, State, Worker, admin, enqueue};
use tokio::sync::Semaphore;

const NEVER: Duration = Duration::from_hours(1);

fn set(w: Worker<Starts>) -> Worker<Starts> {
    w.queue("default", 5).poll_interval(NEVER).retry_policy(|_| Duration::ZERO)
}

/// Runs until it is asked to stop.
async fn until_told(task: Task, cx: Context<Starts>) -> Result<(), JobError> {
    cx.cancelled().await;
    match task.name.as_str() {
        "finishes" => Ok(()),
        "fails" => Err(JobError::retry("stopped in the middle")),
        "snoozes" => Err(JobError::snooze(NEVER)),
        "ignores" => std::future::pending().await,
        "panics" => panic!("stopped in the middle"),
        other => panic!("{other}"),
    }
}

// CONFORMANCE 40
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_a_running_job_reaches_its_handler_promptly() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker = TestWorker::start(&db.database, set, until_told);
    workers_listen(&client, 1).await;
    for (name, state) in [
        ("fails", State::Cancelled),
        ("snoozes", State::Cancelled),
        ("ignores", State::Cancelled),
        // It did its work after all: nothing is gained by denying that.
        ("finishes", State::Completed),
    ] {
        // By the notification: without it, requests are read every five seconds. A handler that
        // ignores them has a second of grace.
        takes_less_than(Duration::from_secs(4), &format!("to cancel one that {name}"), async || {
            let id = enqueue(&client, &task(name)).await.unwrap().id;
            worker.next_start().await;
            let asked = std::time::Instant::now();
            // It is shown as it is after the request: stopped already, where its handler was quick.
            let shown = admin::cancel(&client, id).await.unwrap().state;
            assert!(shown == State::Running || shown == state, "{name}: {shown}");
            let record = job_becomes(&client, id, state).await;
            assert_eq!((record.attempt, record.error), (1, None), "{name}");
            asked.elapsed()
        })
        .await;
    }
    // A panic is an error even then, but the job is cancelled.
    let id = enqueue(&client, &task("panics")).await.unwrap().id;
    worker.next_start().await;
    admin::cancel(&client, id).await.unwrap();
    let record = job_becomes(&client, id, State::Cancelled).await;
    assert!(record.error.is_some());
    assert!(worker.starts.try_recv().is_err(), "it ran again");
    worker.stop().await;
}

// CONFORMANCE 29, 40
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_asked_while_the_worker_does_not_listen_reaches_the_handler() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    // It never listens.
    let mut worker = TestWorker::start(&db.another_pool(), |w| set(w).listen(false), until_told);
    workers_listen(&client, 1).await;
    worker.stop().await;
    let id = enqueue(&client, &task("fails")).await.unwrap().id;
    worker = TestWorker::start(&db.another_pool(), |w| set(w).listen(false), until_told);
    worker.next_start().await;
    admin::cancel(&client, id).await.unwrap();
    job_becomes(&client, id, State::Cancelled).await;
    worker.stop().await;

    // Its listener is gone at the moment.
    let mut worker = TestWorker::start(&db.another_pool(), set, until_told);
    workers_listen(&client, 1).await;
    let id = enqueue(&client, &task("fails")).await.unwrap().id;
    worker.next_start().await;
    assert_eq!(terminate_backends(&client, "postrider listen").await, 1);
    admin::cancel(&client, id).await.unwrap();
    job_becomes(&client, id, State::Cancelled).await;
    // And its listener is restored.
    let id = enqueue(&client, &task("fails")).await.unwrap().id;
    worker.next_start().await;
    admin::cancel(&client, id).await.unwrap();
    job_becomes(&client, id, State::Cancelled).await;
    worker.stop().await;
}

// CONFORMANCE 40: the neighbour, no worker is there to carry it out
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_outlives_the_worker_that_was_asked() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker = TestWorker::start(&db.another_pool(), set, |_, _| std::future::pending());
    let id = enqueue(&client, &task("doomed")).await.unwrap().id;
    worker.next_start().await;
    worker.kill().await;
    admin::cancel(&client, id).await.unwrap();
    let mut worker = TestWorker::start(&db.another_pool(), set, |_, _| async { Ok(()) });
    job_becomes(&client, id, State::Cancelled).await;
    assert!(worker.starts.try_recv().is_err(), "it was started");
    worker.stop().await;
}

// CONFORMANCE 40
#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once_and_a_finished_one_not_at_all() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let scheduled = enqueue(&client, &task("")).run_in(NEVER).unique_key("k").await.unwrap().id;
    let available = enqueue(&client, &task("")).await.unwrap().id;
    for id in [scheduled, available] {
        let record = admin::cancel(&client, id).await.unwrap();
        assert_eq!(record.state, State::Cancelled);
        assert!(record.finished_at.is_some());
        match admin::cancel(&client, id).await {
            Err(Error::InvalidState { state: State::Cancelled, verb: "cancelled", .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job").await, 0);
    assert!(matches!(admin::cancel(&client, 404).await, Err(Error::NotFound(404))));
}

// CONFORMANCE 40
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_a_discarded_job_runs_it_again_with_a_fresh_budget() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker =
        TestWorker::start(&db.database, set, |_, cx| async move { Err(JobError::retry(format!("{}", cx.attempt()))) });
    let id = enqueue(&client, &task("")).max_attempts(2).await.unwrap().id;
    let first = job_becomes(&client, id, State::Discarded).await;
    let claim = "SELECT claim::bigint FROM postrider.job_history";
    let claims = number(&client, claim).await;
    admin::retry(&client, id).await.unwrap();
    let again = until("it is discarded again", PATIENCE, || async {
        let record = job(&client, id).await;
        (record.finished_at > first.finished_at).then_some(record)
    })
    .await;
    let attempts: Vec<u32> =
        [worker.next_start().await, worker.next_start().await, worker.next_start().await, worker.next_start().await]
            .map(|started| started.attempt)
            .to_vec();
    assert_eq!(attempts, [1, 2, 1, 2]);
    assert_eq!((again.attempt, again.attempt_errors().len(), again.created_at), (2, 4, first.created_at));
    // The fence goes on rising.
    assert_eq!(number(&client, claim).await, claims + 2);
    worker.stop().await;
}

// CONFORMANCE 40
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_a_running_job_is_refused_and_of_a_waiting_one_makes_it_due() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let mut worker = TestWorker::start(&db.database, set, move |_, _| {
        let gate = Arc::clone(&closed);
        async move {
            gate.acquire().await?.forget();
            Ok(())
        }
    });
    workers_listen(&client, 1).await;
    let id = enqueue(&client, &task("")).run_in(NEVER).await.unwrap().id;
    admin::retry(&client, id).await.unwrap();
    assert_eq!(worker.next_start().await.job_id, id);
    match admin::retry(&client, id).await {
        Err(Error::InvalidState { state: State::Running, verb: "retried", .. }) => {}
        other => panic!("{other:?}"),
    }
    gate.add_permits(1);
    job_becomes(&client, id, State::Completed).await;
    assert!(worker.starts.try_recv().is_err());
    // Completed ones come back, too.
    admin::retry(&client, id).await.unwrap();
    gate.add_permits(1);
    assert_eq!(worker.next_start().await.job_id, id);
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history", 1).await;
    assert!(matches!(admin::retry(&client, 404).await, Err(Error::NotFound(404))));
    worker.stop().await;
}

// CONFORMANCE 40: the neighbour, the key of a finished job was given to another
#[tokio::test]
async fn a_retry_is_refused_while_another_unfinished_job_has_its_key() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let old = enqueue(&client, &task("")).unique_key("k").await.unwrap().id;
    admin::cancel(&client, old).await.unwrap();
    let new = enqueue(&client, &task("")).unique_key("k").await.unwrap().id;
    match admin::retry(&client, old).await {
        Err(Error::KeyTaken { id, unique_key, .. }) => assert_eq!((id, unique_key.as_str()), (old, "k")),
        other => panic!("{other:?}"),
    }
    assert_eq!(job(&client, old).await.state, State::Cancelled);
    admin::cancel(&client, new).await.unwrap();
    assert_eq!(admin::retry(&client, old).await.unwrap().state, State::Available);
}
