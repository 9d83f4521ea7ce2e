//! Faults that a handler must bear.
#![allow(clippy::redundant_closure_for_method_calls, reason = "a method of one lifetime is no function of any")]

use std::sync::Arc;
use std::time::Duration;

use postrider::testing::{Attempt, Outcome, RunDue, TestWorker};
use postrider::{Context, Database, Job, JobError, State, Worker, enqueue};
use serde::{Deserialize, Serialize};
use tokio::sync::Barrier;

use super::brief;
use crate::support::database::TestDatabase;
use crate::support::rows::{job, number};

const PAYMENTS: &str = "SELECT count(*) FROM public.payment";

/// Books a payment, carefully or not.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Pay {
    /// The effect and the completion commit one after the other.
    Carelessly,
    /// They commit together.
    InOneTransaction,
}

impl Job for Pay {
    const KIND: &'static str = "pay";
}

async fn pay(job: Pay, cx: Context<()>) -> Result<(), JobError> {
    let tx = cx.begin().await?;
    tx.execute("INSERT INTO public.payment VALUES ($1)", &[&cx.job_id()]).await?;
    if let Pay::InOneTransaction = job {
        cx.complete_in(&tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn bank() -> (TestDatabase, tokio_postgres::Client, TestWorker<()>) {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    client.batch_execute("CREATE TABLE public.payment (job_id bigint NOT NULL)").await.unwrap();
    let worker = worker(db.database.clone());
    (db, client, worker)
}

fn worker(database: Database) -> TestWorker<()> {
    TestWorker::new(Worker::new(database, ()).queue("default", 1).handle(pay)).unwrap()
}

/// How often a job pays under the fault, and its attempts in short.
async fn payments(job: Pay, fault: fn(RunDue<'_, ()>) -> RunDue<'_, ()>) -> (i64, String) {
    let (_db, client, worker) = bank().await;
    let id = enqueue(&client, &job).await.unwrap().id;
    let ran: Vec<Attempt> = fault(worker.run_due(Duration::ZERO)).await.unwrap();
    assert_eq!(crate::support::rows::job(&client, id).await.state, State::Completed, "{ran:#?}");
    (number(&client, PAYMENTS).await, brief(&ran))
}

#[tokio::test]
async fn a_crash_after_the_effect_repeats_it_unless_the_job_is_completed_with_it() {
    assert_eq!(
        payments(Pay::Carelessly, |run| run.crash_after_effect()).await,
        (2, "1 crashed, 2 completed".to_owned())
    );
    assert_eq!(payments(Pay::InOneTransaction, |run| run.crash_after_effect()).await, (1, "1 completed".to_owned()));
}

#[tokio::test]
async fn an_attempt_that_has_lost_its_lease_repeats_the_effect_unless_the_job_is_completed_with_it() {
    assert_eq!(payments(Pay::Carelessly, |run| run.lose_lease()).await, (2, "2 completed, 1 stale".to_owned()));
    assert_eq!(payments(Pay::InOneTransaction, |run| run.lose_lease()).await, (1, "2 completed, 1 stale".to_owned()));
}

#[tokio::test]
async fn two_attempts_at_once_repeat_the_effect_unless_the_job_is_completed_with_it() {
    assert_eq!(payments(Pay::Carelessly, |run| run.duplicate_delivery()).await, (2, "2 completed, 1 stale".to_owned()));
    assert_eq!(
        payments(Pay::InOneTransaction, |run| run.duplicate_delivery()).await,
        (1, "2 completed, 1 stale".to_owned())
    );
}

#[tokio::test]
async fn attempts_of_a_duplicate_delivery_run_at_the_same_time() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let meeting = Worker::new(db.database.clone(), Barrier::new(2)).queue("default", 1).handle(
        |_: Pay, cx: Context<Barrier>| async move {
            cx.state().wait().await;
            Ok(())
        },
    );
    enqueue(&client, &Pay::Carelessly).await.unwrap();
    let worker = TestWorker::new(meeting).unwrap();
    let ran = worker.run_due(Duration::ZERO).duplicate_delivery();
    let ran = tokio::time::timeout(Duration::from_mins(1), ran.into_future()).await.expect("they meet").unwrap();
    assert_eq!(brief(&ran), "2 completed, 1 stale");
}

#[tokio::test]
async fn each_job_meets_the_fault_once_and_the_last_attempt_is_discarded_by_it() {
    let (_db, client, worker) = bank().await;
    let ids =
        [enqueue(&client, &Pay::Carelessly).await.unwrap().id, enqueue(&client, &Pay::Carelessly).await.unwrap().id];
    let last = enqueue(&client, &Pay::Carelessly).max_attempts(1).await.unwrap().id;
    let ran = worker.run_due(Duration::ZERO).crash_after_effect().await.unwrap();
    let of = |id| {
        let its = ran
            .iter()
            .filter(|attempt| attempt.job_id == id)
            .map(|attempt| (attempt.attempt, attempt.outcome.is_completed()));
        its.collect::<Vec<_>>()
    };
    for id in ids {
        assert_eq!(of(id), [(1, false), (2, true)], "{ran:#?}");
    }
    assert_eq!(of(last), [(1, false)], "{ran:#?}");
    let record = job(&client, last).await;
    assert_eq!(record.state, State::Discarded);
    assert!(record.error.is_some_and(|error| error.contains("attempt lost")));

    // The frozen handler runs, too, although the job does not run again.
    let last = enqueue(&client, &Pay::InOneTransaction).max_attempts(1).await.unwrap().id;
    let ran = worker.run_due(Duration::ZERO).lose_lease().await.unwrap();
    assert!(matches!(ran.as_slice(), [Attempt { outcome: Outcome::Stale, .. }]), "{ran:#?}");
    assert_eq!(number(&client, &format!("{PAYMENTS} WHERE job_id = {last}")).await, 0);
}

#[tokio::test]
async fn faults_befall_jobs_of_a_transaction_too() {
    let (_db, _client, worker) = bank().await;
    let worker = Arc::new(worker);
    for (job, crashes) in [(Pay::Carelessly, 2), (Pay::InOneTransaction, 1)] {
        let tx = worker.begin().await.unwrap();
        enqueue(&tx, &job).await.unwrap();
        worker.run_due_in(&tx, Duration::ZERO).crash_after_effect().await.unwrap();
        assert_eq!(number(&tx, PAYMENTS).await, crashes, "{job:?}");
        let tx = worker.begin().await.unwrap();
        enqueue(&tx, &job).await.unwrap();
        let ran = worker.run_due_in(&tx, Duration::ZERO).lose_lease().await.unwrap();
        assert_eq!((number(&tx, PAYMENTS).await, brief(&ran).as_str()), (crashes, "2 completed, 1 stale"), "{job:?}");
    }
}
