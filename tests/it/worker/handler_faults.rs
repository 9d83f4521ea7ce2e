//! Handlers that panic, take too long or do not listen (CONFORMANCE 3, 17, 20).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::rows::{assert_about, job, job_becomes, retry_delay};
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, TestWorker, task};
use postrider::{Context, Job, JobError, State, Worker, enqueue};
use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_hours(1);

fn one_slot(worker: Worker<Starts>) -> Worker<Starts> {
    worker.queue("default", 1)
}

/// Its payload cannot be made.
#[derive(Serialize)]
struct PanicsInDecode {}

impl<'de> Deserialize<'de> for PanicsInDecode {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("in decode")
    }
}

impl Job for PanicsInDecode {
    const KIND: &'static str = "panics_in_decode";
}

/// Its policy is mad.
#[derive(Serialize, Deserialize)]
struct PanicsInPolicy {}

impl Job for PanicsInPolicy {
    const KIND: &'static str = "panics_in_policy";

    fn retry_after(_: u32) -> Option<Duration> {
        panic!("in policy")
    }
}

struct PanicsWhenDropped(&'static str);

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "{}", self.0);
    }
}

// CONFORMANCE 17
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_anywhere_in_a_job_is_an_error_with_a_trace_and_the_worker_goes_on() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let set = |w: Worker<Starts>| {
        one_slot(w)
            .timeout(Duration::from_secs(1))
            .retry_policy(|_| HOUR)
            .handle(|_: PanicsInDecode, _| async { Ok(()) })
            .handle(|_: PanicsInPolicy, _| async { Err::<(), _>(JobError::retry("failed")) })
    };
    let mut worker = TestWorker::start(&db.database, set, |task, _| {
        assert_ne!(task.name, "before the future");
        async move {
            match task.name.as_str() {
                "in the future" => panic!("it was {}", "formatted\0"),
                "with a payload" => std::panic::panic_any(17),
                "with a bad payload" => std::panic::panic_any(PanicsWhenDropped("payload")),
                "in drop" => {
                    let _held = PanicsWhenDropped("dropped");
                    std::future::pending::<()>().await;
                }
                _ => {}
            }
            Ok(())
        }
    });
    for (name, said) in [
        ("before the future", "before the future"),
        ("in the future", "panicked: it was formatted\u{fffd}"),
        ("with a payload", "panicked without a message"),
        ("with a bad payload", "panicked without a message"),
        ("in drop", "panicked: dropped"),
    ] {
        let id = enqueue(&client, &task(name)).await.unwrap().id;
        let record = job_becomes(&client, id, State::Retryable).await;
        let error = record.error.as_deref().unwrap_or_default();
        assert!(error.contains(said), "{name}: {error}");
        let trace = record.attempt_errors().pop().unwrap().trace.unwrap_or_default();
        assert!(trace.contains(file!()), "{name}: {trace}");
    }
    let id = enqueue(&client, &PanicsInDecode {}).await.unwrap().id;
    let record = job_becomes(&client, id, State::Retryable).await;
    assert_eq!(record.error.as_deref(), Some("panicked: in decode"));
    let id = enqueue(&client, &PanicsInPolicy {}).await.unwrap().id;
    let record = job_becomes(&client, id, State::Retryable).await;
    assert_eq!(record.error.as_deref(), Some("failed"));
    assert_about(retry_delay(&client, id).await, 1.0);

    let id = enqueue(&client, &task("fine")).await.unwrap().id;
    job_becomes(&client, id, State::Completed).await;
    assert_eq!(worker.metrics.panicked(), 6);
    while worker.starts.try_recv().is_ok() {}
    worker.stop().await;
}

// CONFORMANCE 17: the last attempt's panic
#[tokio::test(flavor = "multi_thread")]
async fn the_panic_of_the_last_attempt_discards_the_job_with_its_trace() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.database, one_slot, |_, _| async { panic!("for good") });
    let id = enqueue(&client, &task("")).max_attempts(1).await.unwrap().id;
    let record = job_becomes(&client, id, State::Discarded).await;
    assert_eq!(record.error.as_deref(), Some("panicked: for good"));
    assert!(record.attempt_errors()[0].trace.is_some());
    worker.stop().await;
}

#[derive(Serialize, Deserialize)]
struct Brief {}

impl Job for Brief {
    const KIND: &'static str = "brief";
    const TIMEOUT: Option<Duration> = Some(Duration::from_millis(100));
}

#[derive(Serialize, Deserialize)]
struct Lengthy {}

impl Job for Lengthy {
    const KIND: &'static str = "lengthy";
    const TIMEOUT: Option<Duration> = Some(HOUR);
}

// CONFORMANCE 3, 20
#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_is_the_kinds_then_the_workers_then_none() {
    async fn until_told(cx: Context<Starts>) -> Result<(), JobError> {
        cx.cancelled().await;
        Err(JobError::retry("told to stop"))
    }
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let brief = |w: Worker<Starts>| w.handle(|_: Brief, cx| until_told(cx));

    // A worker without a timeout: its tasks have none, brief ones have their own.
    let patient = TestWorker::start(
        &db.database,
        |w| brief(one_slot(w)),
        |_, cx| async move {
            let run_out = tokio::time::timeout(Duration::from_secs(1), cx.cancelled()).await;
            assert!(run_out.is_err(), "it was stopped");
            Ok(())
        },
    );
    let id = enqueue(&client, &task("takes its time")).await.unwrap().id;
    job_becomes(&client, id, State::Completed).await;
    let id = enqueue(&client, &Brief {}).max_attempts(1).await.unwrap().id;
    assert_eq!(job_becomes(&client, id, State::Discarded).await.error.as_deref(), Some("timed out"));
    patient.stop().await;

    // A worker with one: it counts for kinds that have none of their own, longer or shorter.
    let lengthy = |w: Worker<Starts>| {
        w.handle(|_: Lengthy, cx| async move {
            let run_out = tokio::time::timeout(Duration::from_millis(500), cx.cancelled()).await;
            assert!(run_out.is_err(), "it was stopped");
            Ok(())
        })
    };
    let set = |w| lengthy(one_slot(w)).timeout(Duration::from_millis(100));
    let hasty = TestWorker::start(&db.database, set, |_, cx| until_told(cx));
    let id = enqueue(&client, &task("runs out")).await.unwrap().id;
    let record = job_becomes(&client, id, State::Retryable).await;
    assert_eq!(record.error.as_deref(), Some("timed out"));
    assert_about(retry_delay(&client, id).await, 1.0);
    let id = enqueue(&client, &Lengthy {}).await.unwrap().id;
    job_becomes(&client, id, State::Completed).await;
    hasty.stop().await;
}

struct SetWhenDropped(Arc<AtomicBool>);

impl Drop for SetWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

// CONFORMANCE 20
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_ignores_its_timeout_is_dropped_and_its_slot_serves_the_next() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let set = |w: Worker<Starts>| one_slot(w).timeout(Duration::from_millis(500));
    let worker = TestWorker::start(&db.database, set, move |task, _| {
        let flag = SetWhenDropped(Arc::clone(&flag));
        async move {
            if task.name == "ignores" {
                std::future::pending::<()>().await;
                drop(flag);
            }
            Ok(())
        }
    });
    let id = enqueue(&client, &task("ignores")).max_attempts(1).await.unwrap().id;
    let next = enqueue(&client, &task("next")).await.unwrap().id;
    let record = job_becomes(&client, id, State::Discarded).await;
    assert_eq!(record.error.as_deref(), Some("timed out"));
    assert!(dropped.load(Ordering::Acquire));
    job_becomes(&client, next, State::Completed).await;
    worker.stop().await;
}

// CONFORMANCE 20
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_its_thread_does_not_cost_its_slot_for_ever() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (unblock, blocked) = mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let set = |w: Worker<Starts>| one_slot(w).timeout(Duration::from_millis(500)).poll_interval(HOUR);
    let mut worker = TestWorker::start(&db.database, set, move |task, _| {
        let blocked = Arc::clone(&blocked);
        async move {
            if task.name == "blocks" {
                // Not longer than the test, should it fail.
                let _ = blocked.lock().unwrap().recv_timeout(3 * PATIENCE);
            }
            Ok(())
        }
    });
    let id = enqueue(&client, &task("blocks")).max_attempts(1).await.unwrap().id;
    let next = enqueue(&client, &task("next")).await.unwrap().id;
    assert_eq!(worker.next_start().await.job_id, id);
    let started = crate::support::wait::within("the slot is freed", 2 * PATIENCE, worker.starts.recv()).await.unwrap();
    assert_eq!(started.job_id, next);
    let record = job_becomes(&client, id, State::Discarded).await;
    assert_eq!(record.error.as_deref(), Some("timed out, and its handler ignores cancellation"));
    // What it returns in the end changes nothing, and frees no second slot.
    drop(unblock);
    job_becomes(&client, next, State::Completed).await;
    assert_eq!(job(&client, id).await.state, State::Discarded);
    until("nothing is in flight", PATIENCE, || async { (worker.metrics.running() == 0).then_some(()) }).await;
    worker.stop().await;
}
