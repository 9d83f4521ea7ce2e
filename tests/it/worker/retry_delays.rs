//! When a failed job is tried again (CONFORMANCE 3, 16, 21).

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::rows::{assert_about, job, job_becomes, retry_delay};
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, TestWorker, task};
use postrider::worker::MAX_RETRY_DELAY;
use postrider::{Job, JobError, State, Worker, enqueue};
use serde::{Deserialize, Serialize};

fn one_slot(worker: Worker<Starts>) -> Worker<Starts> {
    worker.queue("default", 1)
}

#[derive(Serialize, Deserialize)]
struct WithPolicy {
    own: bool,
}

impl Job for WithPolicy {
    const KIND: &'static str = "with_policy";

    fn retry_after(attempt: u32) -> Option<Duration> {
        (attempt == 1).then_some(Duration::from_secs(1_000))
    }
}

// CONFORMANCE 3, 16
#[tokio::test(flavor = "multi_thread")]
async fn the_retry_delay_is_the_errors_then_the_kinds_then_the_workers_then_the_built_in() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let with_policy = |w: Worker<Starts>| {
        w.handle(|job: WithPolicy, _| async move {
            Err::<(), _>(if job.own {
                JobError::retry_after("own", Duration::from_secs(5_000))
            } else {
                JobError::retry("")
            })
        })
    };
    let fails = |_, _| async { Err(JobError::retry("fails")) };
    let delay = |id| {
        let client = &client;
        async move {
            job_becomes(client, id, State::Retryable).await;
            retry_delay(client, id).await
        }
    };
    let set = |w| with_policy(one_slot(w)).retry_policy(|attempt| Duration::from_secs(100 * u64::from(attempt)));
    let worker = TestWorker::start(&db.database, set, fails);
    let id = enqueue(&client, &WithPolicy { own: true }).await.unwrap().id;
    assert_about(delay(id).await, 5_000.0);
    let id = enqueue(&client, &WithPolicy { own: false }).await.unwrap().id;
    assert_about(delay(id).await, 1_000.0);
    let id = enqueue(&client, &task("")).await.unwrap().id;
    assert_about(delay(id).await, 100.0);
    // The kind may say nothing about some attempts, and the number is that of the one that failed.
    let id = enqueue(&client, &WithPolicy { own: false }).await.unwrap().id;
    delay(id).await;
    postrider::admin::retry(&client, id).await.unwrap();
    until("the second attempt has failed", PATIENCE, || async {
        let record = job(&client, id).await;
        (record.attempt == 2 && record.state == State::Retryable).then_some(())
    })
    .await;
    assert_about(retry_delay(&client, id).await, 200.0);
    worker.stop().await;

    let worker = TestWorker::start(&db.database, one_slot, fails);
    let id = enqueue(&client, &task("")).await.unwrap().id;
    assert_about(delay(id).await, 1.0);
    worker.stop().await;
}

// CONFORMANCE 21
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_policy_that_returns_nonsense_or_panics_loses_no_job() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let set = |w: Worker<Starts>| {
        one_slot(w).retry_policy(|attempt| match attempt {
            1 => Duration::ZERO,
            2 => Duration::MAX,
            _ => panic!("no idea"),
        })
    };
    let worker = TestWorker::start(&db.database, set, |task, _| async move {
        match task.name.as_str() {
            "endless error" => Err(JobError::retry_after("later", Duration::MAX)),
            "endless snooze" => Err(JobError::snooze(Duration::MAX)),
            _ => Err(JobError::retry("fails")),
        }
    });
    let id = enqueue(&client, &task("")).max_attempts(4).await.unwrap().id;
    let failed = |attempt| {
        let client = &client;
        async move {
            until("the attempt has failed", PATIENCE, || async {
                let record = job(client, id).await;
                (record.attempt == attempt && record.state == State::Retryable).then_some(())
            })
            .await;
        }
    };
    failed(2).await;
    assert_about(retry_delay(&client, id).await, MAX_RETRY_DELAY.as_secs_f64());
    postrider::admin::retry(&client, id).await.unwrap();
    failed(3).await;
    assert_about(retry_delay(&client, id).await, 81.0);
    postrider::admin::retry(&client, id).await.unwrap();
    job_becomes(&client, id, State::Discarded).await;

    let id = enqueue(&client, &task("endless error")).await.unwrap().id;
    job_becomes(&client, id, State::Retryable).await;
    assert_about(retry_delay(&client, id).await, MAX_RETRY_DELAY.as_secs_f64());
    let id = enqueue(&client, &task("endless snooze")).await.unwrap().id;
    job_becomes(&client, id, State::Scheduled).await;
    worker.stop().await;
}
