//! What a handler can say, and what becomes of its job (CONFORMANCE 16, 18, 19).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::rows::{assert_about, job_becomes, number, retry_delay};
use crate::support::worker::{Starts, TestWorker, task};
use postrider::{JobError, JobId, State, Worker, enqueue};

const HOUR: Duration = Duration::from_hours(1);

fn one_slot(worker: Worker<Starts>) -> Worker<Starts> {
    worker.queue("default", 1)
}

// CONFORMANCE 16
#[tokio::test(flavor = "multi_thread")]
async fn ok_completes_the_job_with_its_time() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.database, one_slot, |_, _| async { Ok(()) });
    let id = enqueue(&client, &task("good")).await.unwrap().id;
    let record = job_becomes(&client, id, State::Completed).await;
    assert!(record.finished_at >= record.attempted_at && record.attempted_at.is_some());
    assert_eq!((record.attempt, record.error, record.errors.get()), (1, None, "[]"));
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job").await, 0);
    let metrics = worker.stop_for_metrics().await;
    assert_eq!(metrics.completed(), 1);
}

// CONFORMANCE 16
#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_recorded_with_its_causes_and_retried_after_the_delay_of_the_policy() {
    #[derive(Debug, thiserror::Error)]
    #[error("the mail was not sent")]
    struct NotSent(#[source] std::io::Error);
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.database, one_slot, |_, cx| async move {
        if cx.attempt() == 1 {
            Err(NotSent(std::io::Error::other("the server is on fire")))?;
        }
        Ok(())
    });
    let id = enqueue(&client, &task("fails once")).await.unwrap().id;
    let record = job_becomes(&client, id, State::Retryable).await;
    assert_eq!(record.error.as_deref(), Some("the mail was not sent: the server is on fire"));
    let errors = record.attempt_errors();
    assert_eq!((errors.len(), errors[0].attempt, &errors[0].trace), (1, 1, &None));
    assert!(errors[0].at >= record.attempted_at.unwrap() && record.finished_at.is_none());
    assert_about(retry_delay(&client, id).await, 1.0);
    // And it is, with the error from before.
    let record = job_becomes(&client, id, State::Completed).await;
    assert_eq!((record.attempt, record.attempt_errors().len()), (2, 1));
    worker.stop().await;
}

// CONFORMANCE 16
#[tokio::test(flavor = "multi_thread")]
async fn the_error_of_the_last_attempt_discards_the_job() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(
        &db.database,
        |w| one_slot(w).retry_policy(|_| Duration::ZERO),
        |_, cx| async move { Err(JobError::retry(format!("attempt {} of {}", cx.attempt(), cx.max_attempts()))) },
    );
    for (attempts, id) in [
        (1_i32, enqueue(&client, &task("")).max_attempts(1).await),
        (3, enqueue(&client, &task("")).max_attempts(3).await),
    ] {
        let record = job_becomes(&client, id.unwrap().id, State::Discarded).await;
        assert_eq!((record.attempt, record.attempt_errors().len()), (attempts, attempts.unsigned_abs() as usize));
        assert_eq!(record.error, Some(format!("attempt {attempts} of {attempts}")));
        assert!(record.finished_at.is_some());
    }
    worker.stop().await;
}

// CONFORMANCE 16: the neighbour, an error that says that no other attempt can succeed
#[tokio::test(flavor = "multi_thread")]
async fn a_discard_from_inside_spares_the_other_attempts() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.database, one_slot, |_, _| async { Err(JobError::discard("no such address")) });
    let id = enqueue(&client, &task("hopeless")).await.unwrap().id;
    let record = job_becomes(&client, id, State::Discarded).await;
    assert_eq!((record.attempt, record.error.as_deref()), (1, Some("no such address")));
    worker.stop().await;
}

// CONFORMANCE 18
#[tokio::test(flavor = "multi_thread")]
async fn a_snooze_consumes_no_attempt_and_counts_from_the_databases_now() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let snoozes = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&snoozes);
    let mut worker = TestWorker::start(&db.database, one_slot, move |_, cx| {
        let snoozes = Arc::clone(&counted);
        async move {
            match snoozes.fetch_add(1, Ordering::AcqRel) {
                count @ 0..3 => Err(JobError::snooze(Duration::from_millis(u64::from(count) * 100))),
                3 => Err(JobError::retry_after("a failure in between", Duration::ZERO)),
                4 => Err(JobError::snooze(HOUR)),
                _ => {
                    assert_eq!(cx.attempt(), 2);
                    Ok(())
                }
            }
        }
    });
    // The last attempt can be snoozed as well.
    let id = enqueue(&client, &task("early")).max_attempts(2).await.unwrap().id;
    let attempts: Vec<u32> = [
        worker.next_start().await,
        worker.next_start().await,
        worker.next_start().await,
        worker.next_start().await,
        worker.next_start().await,
    ]
    .map(|started| started.attempt)
    .to_vec();
    assert_eq!(attempts, [1, 1, 1, 1, 2]);
    let record = job_becomes(&client, id, State::Scheduled).await;
    assert_eq!((record.attempt, record.attempt_errors().len()), (1, 1));
    let ahead = "SELECT extract(epoch FROM run_at - now())::bigint FROM postrider.job";
    assert!((3_500..=3_600).contains(&number(&client, ahead).await));
    postrider::admin::retry(&client, id).await.unwrap();
    assert_eq!(job_becomes(&client, id, State::Completed).await.attempt, 2);
    let metrics = worker.stop_for_metrics().await;
    assert_eq!((metrics.snoozed(), metrics.failed()), (4, 1));
}

// CONFORMANCE 18
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_from_inside_is_final_and_keeps_its_reason() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.database, one_slot, |_, _| async { Err(JobError::cancel("nobody wants it")) });
    let id = enqueue(&client, &task("unwanted")).await.unwrap().id;
    let record = job_becomes(&client, id, State::Cancelled).await;
    assert_eq!((record.attempt, record.error.as_deref()), (1, Some("nobody wants it")));
    assert!(record.finished_at.is_some());
    let metrics = worker.stop_for_metrics().await;
    assert_eq!((metrics.cancelled(), metrics.failed()), (1, 0));
}

// CONFORMANCE 19
#[tokio::test(flavor = "multi_thread")]
async fn args_that_do_not_decode_follow_the_retry_policy_with_a_clear_error() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker = TestWorker::start(&db.database, one_slot, |_, _| async { Ok(()) });
    let deep = format!(r#"{{"name": {}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    for (args, max_attempts, state) in [
        (r#"{"name": 17}"#, 25, State::Retryable),
        ("[]", 25, State::Retryable),
        ("{}", 1, State::Discarded),
        (&deep, 1, State::Discarded),
    ] {
        let query = "SELECT postrider.enqueue('task', $1::text::jsonb, max_attempts => $2)";
        let id: JobId = client.query_one(query, &[&args, &max_attempts]).await.unwrap().get(0);
        let record = job_becomes(&client, id, state).await;
        let error = record.error.unwrap();
        assert!(error.starts_with("args do not decode as task: "), "{error}");
        if state == State::Retryable {
            assert_about(retry_delay(&client, id).await, 1.0);
        }
    }
    let id = enqueue(&client, &task("fine")).await.unwrap().id;
    assert_eq!(worker.next_start().await.job_id, id);
    worker.stop().await;
}
