//! One attempt without a database.

use std::time::Duration;

use postrider::testing::{self, Outcome, TestWorker};
use postrider::{Context, Error, Job, JobError, Worker};
use serde::{Deserialize, Serialize};

use super::{Log, Step, say, test_worker, worker};

async fn outcome_of(step: Step) -> Outcome {
    test_worker(testing::no_database()).0.perform(&step).await.unwrap()
}

#[tokio::test]
async fn each_ending_of_a_handler_is_an_outcome() {
    let outcome = outcome_of(Step::Return("42".into())).await;
    assert!(outcome.is_completed());
    assert_eq!(outcome.output_as::<String>().unwrap().as_deref(), Some("42"));
    assert!(outcome.output_as::<u8>().is_err());
    assert!(matches!(outcome_of(say("a")).await, Outcome::Completed { output: None }));
    match outcome_of(Step::FailBefore(2)).await {
        Outcome::Retried { error, trace: None, delay } => {
            assert_eq!((error.as_str(), delay), ("not yet", Duration::from_mins(1)));
        }
        other => panic!("{other:?}"),
    }
    match outcome_of(Step::Panic).await {
        Outcome::Retried { error, trace: Some(trace), .. } => {
            assert_eq!(error, "panicked: no luck");
            assert!(trace.contains("testing/mod.rs"), "{trace}");
        }
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(outcome_of(Step::Discard).await, Outcome::Discarded { error, trace: None } if error == "hopeless")
    );
    assert!(
        matches!(outcome_of(Step::Cancel).await, Outcome::Cancelled { reason: Some(reason) } if reason == "not wanted")
    );
    assert!(matches!(outcome_of(Step::Snooze).await, Outcome::Snoozed { delay } if delay == Duration::from_mins(5)));
}

#[tokio::test]
async fn the_attempt_is_as_the_test_says() {
    let (worker, _) = test_worker(testing::no_database());
    assert!(worker.perform(&Step::FailBefore(3)).attempt(3).await.unwrap().is_completed());
    let last = worker.perform(&Step::FailBefore(9)).attempt(3).max_attempts(3).await.unwrap();
    assert!(matches!(last, Outcome::Discarded { .. }), "{last:?}");
    for (attempt, most) in [(0, 3), (4, 3)] {
        let refused = worker.perform(&say("a")).attempt(attempt).max_attempts(most).await;
        assert!(matches!(refused, Err(Error::Invalid { field: "attempt", .. })), "{refused:?}");
    }
    assert!(matches!(worker.perform(&say("a")).queue("no name").await, Err(Error::Invalid { field: "queue", .. })));
}

/// A kind of this test alone.
#[derive(Serialize, Deserialize)]
struct Look;

impl Job for Look {
    const KIND: &'static str = "look";
    const QUEUE: Option<&'static str> = Some("looks");
    const MAX_ATTEMPTS: Option<u32> = Some(7);
}

async fn look(_: Look, cx: Context<Log>) -> Result<String, JobError> {
    let value = cx.get::<u8>().map_or(0, |value| *value);
    Ok(format!("{} {} {} {} {} {value}", cx.job_id(), cx.kind(), cx.queue(), cx.attempt(), cx.max_attempts()))
}

#[tokio::test]
async fn the_context_is_real_and_the_middleware_runs() {
    let log = Log::default();
    let looking = worker(testing::no_database(), &log).handle(look).middleware(|cx: Context<Log>, next| async move {
        cx.insert(5_u8);
        cx.state().say("before");
        let result = next.run().await;
        cx.state().say("after");
        result
    });
    let worker = TestWorker::new(looking).unwrap();
    let seen = async |attempt| {
        let outcome = worker.perform(&Look).job_id(17).attempt(attempt).await.unwrap();
        outcome.output_as::<String>().unwrap().unwrap()
    };
    assert_eq!(seen(2).await, "17 look looks 2 7 5");
    assert_eq!(log.take(), ["before", "after"]);
    assert_eq!(
        worker.perform(&Look).queue("else").await.unwrap().output_as::<String>().unwrap().unwrap(),
        "1 look else 1 7 5"
    );
}

#[tokio::test]
async fn a_timeout_and_a_cancel_end_a_handler() {
    let (worker, _) = test_worker(testing::no_database());
    let cancelled = worker.perform(&Step::Hang).cancel_after(Duration::from_millis(5)).await.unwrap();
    assert!(matches!(cancelled, Outcome::Cancelled { reason: None }), "{cancelled:?}");

    let endless = Worker::new(testing::no_database(), ())
        .timeout(Duration::from_millis(5))
        .handle(|_: Look, _: Context<()>| std::future::pending::<Result<(), JobError>>());
    let timed_out = TestWorker::new(endless).unwrap().perform(&Look).await.unwrap();
    assert!(matches!(&timed_out, Outcome::Retried { error, .. } if error == "timed out"), "{timed_out:?}");
}

#[tokio::test]
async fn handlers_that_block_and_handlers_of_batches_run_too() {
    let blocking = Worker::new(testing::no_database(), ()).handle_blocking(|_: Look, _: Context<()>| Ok(1));
    assert!(TestWorker::new(blocking).unwrap().perform(&Look).await.unwrap().is_completed());
    let many = Worker::new(testing::no_database(), ()).handle_many(
        9,
        Duration::ZERO,
        |jobs: Vec<(Look, Context<()>)>| async move { jobs.iter().map(|_| Ok(jobs.len())).collect() },
    );
    let outcome = TestWorker::new(many).unwrap().perform(&Look).await.unwrap();
    assert_eq!(outcome.output_as::<usize>().unwrap(), Some(1));
}

#[tokio::test]
async fn mistakes_are_told() {
    let (worker, _) = test_worker(testing::no_database());
    let unknown = worker.perform(&Look).await;
    assert!(matches!(unknown, Err(Error::Invalid { field: "kind", .. })), "{unknown:?}");
    let twice = Worker::new(testing::no_database(), Log::default()).handle(look).handle(look);
    assert!(matches!(TestWorker::new(twice), Err(Error::Invalid { field: "kind", .. })));
    let no_threads = Worker::new(testing::no_database(), Log::default()).handle(look).blocking_threads(0);
    assert!(matches!(TestWorker::new(no_threads), Err(Error::Invalid { field: "blocking_threads", .. })));
}
