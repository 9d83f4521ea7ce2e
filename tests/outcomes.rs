//! What becomes of attempts, and that it is recorded (CONFORMANCE 3, 16 to 21, 22, 24).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use postrider::worker::MAX_RETRY_DELAY;
use postrider::{Context, Job, JobError, JobId, NewJob, State, Worker, enqueue, enqueue_many};
use serde::{Deserialize, Serialize};
use support::database::TestDatabase;
use support::jobs::{job, job_becomes, number, number_becomes, running, terminate_backends};
use support::wait::{PATIENCE, until};
use support::worker::{Starts, Task, TestWorker, task};
use tokio_postgres::Client;

const HOUR: Duration = Duration::from_secs(3600);

fn one_slot(worker: Worker<Starts>) -> Worker<Starts> {
    worker.queue("default", 1)
}

/// How long after its failure a job is due again, in seconds, by the database's clock.
async fn retry_delay(client: &Client, id: JobId) -> f64 {
    let query = "SELECT extract(epoch FROM run_at - failed_at)::double precision FROM postrider.job WHERE id = $1";
    client.query_one(query, &[&id]).await.unwrap().get(0)
}

/// Within the jitter of ± 10 %.
fn assert_about(delay: f64, wanted: f64) {
    assert!((delay - wanted).abs() <= wanted * 0.1 + 0.01, "{delay} s, not about {wanted} s");
}

// CONFORMANCE 16
#[tokio::test(flavor = "multi_thread")]
async fn ok_completes_the_job_with_its_time() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.database, one_slot, |_, _| async { Ok(()) });
    let id = enqueue(&client, &task("good")).await.unwrap();
    let record = job_becomes(&client, id, State::Completed).await;
    assert!(record.finished_at >= record.attempted_at && record.attempted_at.is_some());
    assert_eq!((record.attempt, record.error, record.errors.get()), (1, None, "[]"));
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job").await, 0);
    assert_eq!(worker.metrics.completed(), 1);
    worker.stop().await;
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
    let id = enqueue(&client, &task("fails once")).await.unwrap();
    let record = job_becomes(&client, id, State::Retryable).await;
    assert_eq!(record.error.as_deref(), Some("the mail was not sent: the server is on fire"));
    let errors = record.attempt_errors();
    assert_eq!((errors.len(), errors[0].attempt, &errors[0].trace), (1, 1, &None));
    assert!(errors[0].at >= record.attempted_at.unwrap() && record.finished_at.is_none());
    assert_about(retry_delay(&client, id).await, 1.0);
    // And so it is, with what went wrong before still told.
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
        let record = job_becomes(&client, id.unwrap(), State::Discarded).await;
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
    let id = enqueue(&client, &task("hopeless")).await.unwrap();
    let record = job_becomes(&client, id, State::Discarded).await;
    assert_eq!((record.attempt, record.error.as_deref()), (1, Some("no such address")));
    worker.stop().await;
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
        if !std::thread::panicking() {
            panic!("{}", self.0);
        }
    }
}

// CONFORMANCE 17
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_anywhere_in_a_job_is_an_error_with_a_trace_and_the_worker_goes_on() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let set = |w: Worker<Starts>| {
        one_slot(w)
            .timeout(Duration::from_millis(200))
            .retry_policy(|_| HOUR)
            .handle(|_: PanicsInDecode, _| async { Ok(()) })
            .handle(|_: PanicsInPolicy, _| async { Err(JobError::retry("failed")) })
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
        let id = enqueue(&client, &task(name)).await.unwrap();
        let record = job_becomes(&client, id, State::Retryable).await;
        let error = record.error.as_deref().unwrap_or_default();
        assert!(error.contains(said), "{name}: {error}");
        let trace = record.attempt_errors().pop().unwrap().trace.unwrap_or_default();
        assert!(trace.contains("outcomes.rs"), "{name}: {trace}");
    }
    let id = enqueue(&client, &PanicsInDecode {}).await.unwrap();
    let record = job_becomes(&client, id, State::Retryable).await;
    assert_eq!(record.error.as_deref(), Some("panicked: in decode"));
    let id = enqueue(&client, &PanicsInPolicy {}).await.unwrap();
    let record = job_becomes(&client, id, State::Retryable).await;
    assert_eq!(record.error.as_deref(), Some("failed"));
    assert_about(retry_delay(&client, id).await, 1.0);

    let id = enqueue(&client, &task("fine")).await.unwrap();
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
    let id = enqueue(&client, &task("")).max_attempts(1).await.unwrap();
    let record = job_becomes(&client, id, State::Discarded).await;
    assert_eq!(record.error.as_deref(), Some("panicked: for good"));
    assert!(record.attempt_errors()[0].trace.is_some());
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
    let id = enqueue(&client, &task("early")).max_attempts(2).await.unwrap();
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
    postrider::operate::retry(&client, id).await.unwrap();
    assert_eq!(job_becomes(&client, id, State::Completed).await.attempt, 2);
    assert_eq!((worker.metrics.snoozed(), worker.metrics.failed()), (4, 1));
    worker.stop().await;
}

// CONFORMANCE 18
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_from_inside_is_final_and_keeps_its_reason() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.database, one_slot, |_, _| async { Err(JobError::cancel("nobody wants it")) });
    let id = enqueue(&client, &task("unwanted")).await.unwrap();
    let record = job_becomes(&client, id, State::Cancelled).await;
    assert_eq!((record.attempt, record.error.as_deref()), (1, Some("nobody wants it")));
    assert!(record.finished_at.is_some());
    assert_eq!((worker.metrics.cancelled(), worker.metrics.failed()), (1, 0));
    worker.stop().await;
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
    let id = enqueue(&client, &task("fine")).await.unwrap();
    assert_eq!(worker.next_start().await.job_id, id);
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
    let id = enqueue(&client, &task("takes its time")).await.unwrap();
    job_becomes(&client, id, State::Completed).await;
    let id = enqueue(&client, &Brief {}).max_attempts(1).await.unwrap();
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
    let id = enqueue(&client, &task("runs out")).await.unwrap();
    let record = job_becomes(&client, id, State::Retryable).await;
    assert_eq!(record.error.as_deref(), Some("timed out"));
    assert_about(retry_delay(&client, id).await, 1.0);
    let id = enqueue(&client, &Lengthy {}).await.unwrap();
    job_becomes(&client, id, State::Completed).await;
    hasty.stop().await;
}

// CONFORMANCE 20
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_ignores_its_timeout_is_dropped_and_its_slot_serves_the_next() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let dropped = Arc::new(AtomicBool::new(false));
    struct SetWhenDropped(Arc<AtomicBool>);
    impl Drop for SetWhenDropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    let flag = Arc::clone(&dropped);
    let set = |w: Worker<Starts>| one_slot(w).timeout(Duration::from_millis(100));
    let worker = TestWorker::start(&db.database, set, move |task, _| {
        let flag = SetWhenDropped(Arc::clone(&flag));
        async move {
            if task.name == "deaf" {
                std::future::pending::<()>().await;
                drop(flag);
            }
            Ok(())
        }
    });
    let id = enqueue(&client, &task("deaf")).max_attempts(1).await.unwrap();
    let next = enqueue(&client, &task("next")).await.unwrap();
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
    let set = |w: Worker<Starts>| one_slot(w).timeout(Duration::from_millis(100)).poll_interval(HOUR);
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
    let id = enqueue(&client, &task("blocks")).max_attempts(1).await.unwrap();
    let next = enqueue(&client, &task("next")).await.unwrap();
    assert_eq!(worker.next_start().await.job_id, id);
    let started = support::wait::within("the slot is freed", 2 * PATIENCE, worker.starts.recv()).await.unwrap();
    assert_eq!(started.job_id, next);
    let record = job_becomes(&client, id, State::Discarded).await;
    assert_eq!(record.error.as_deref(), Some("timed out, and its handler ignores cancellation"));
    // What it returns in the end changes nothing, and frees no second slot.
    drop(unblock);
    job_becomes(&client, next, State::Completed).await;
    assert_eq!(job(&client, id).await.state, State::Discarded);
    until("nothing is in flight", PATIENCE, || async { (worker.metrics.in_flight() == 0).then_some(()) }).await;
    worker.stop().await;
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
            Err(if job.own { JobError::retry_after("own", Duration::from_secs(5_000)) } else { JobError::retry("") })
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
    let id = enqueue(&client, &WithPolicy { own: true }).await.unwrap();
    assert_about(delay(id).await, 5_000.0);
    let id = enqueue(&client, &WithPolicy { own: false }).await.unwrap();
    assert_about(delay(id).await, 1_000.0);
    let id = enqueue(&client, &task("")).await.unwrap();
    assert_about(delay(id).await, 100.0);
    // The kind may say nothing about some attempts, and the number is that of the one that failed.
    let id = enqueue(&client, &WithPolicy { own: false }).await.unwrap();
    delay(id).await;
    postrider::operate::retry(&client, id).await.unwrap();
    until("the second attempt has failed", PATIENCE, || async {
        let record = job(&client, id).await;
        (record.attempt == 2 && record.state == State::Retryable).then_some(())
    })
    .await;
    assert_about(retry_delay(&client, id).await, 200.0);
    worker.stop().await;

    let worker = TestWorker::start(&db.database, one_slot, fails);
    let id = enqueue(&client, &task("")).await.unwrap();
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
    let id = enqueue(&client, &task("")).max_attempts(4).await.unwrap();
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
    postrider::operate::retry(&client, id).await.unwrap();
    failed(3).await;
    assert_about(retry_delay(&client, id).await, 81.0);
    postrider::operate::retry(&client, id).await.unwrap();
    job_becomes(&client, id, State::Discarded).await;

    let id = enqueue(&client, &task("endless error")).await.unwrap();
    job_becomes(&client, id, State::Retryable).await;
    assert_about(retry_delay(&client, id).await, MAX_RETRY_DELAY.as_secs_f64());
    let id = enqueue(&client, &task("endless snooze")).await.unwrap();
    job_becomes(&client, id, State::Scheduled).await;
    worker.stop().await;
}

// CONFORMANCE 22 (the fence itself; a stalled worker is issue "Nothing lost")
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_job_was_claimed_anew_can_write_nothing_about_it() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let set = |w: Worker<Starts>| w.queue("default", 10);
    let taken = Arc::new(tokio::sync::Semaphore::new(0));
    let gate = Arc::clone(&taken);
    let mut worker = TestWorker::start(&db.database, set, move |task, _| {
        let gate = Arc::clone(&gate);
        async move {
            drop(gate.acquire().await);
            match task.name.as_str() {
                "complete" => Ok(()),
                "fail" => Err(JobError::retry("stale")),
                "discard" => Err(JobError::discard("stale")),
                "snooze" => Err(JobError::snooze(HOUR)),
                "cancel" => Err(JobError::cancel("stale")),
                _ => panic!("stale"),
            }
        }
    });
    let names = ["complete", "fail", "discard", "snooze", "cancel", "panic"];
    for name in names {
        enqueue(&client, &task(name)).await.unwrap();
        worker.next_start().await;
    }
    // As if each had been rescued and claimed again, half by another worker, half by this one.
    let stolen = "UPDATE postrider.job SET claim = claim + 1,
                  attempted_by = CASE WHEN id % 2 = 0 THEN gen_random_uuid() ELSE attempted_by END";
    client.execute(stolen, &[]).await.unwrap();
    let rows = "SELECT array_agg(to_jsonb(j) ORDER BY id) FROM postrider.job AS j";
    let before: Vec<serde_json::Value> = client.query_one(rows, &[]).await.unwrap().get(0);
    taken.add_permits(100);
    until("all are told that they are stale", PATIENCE, || async { (worker.metrics.stale() == 6).then_some(()) }).await;
    let after: Vec<serde_json::Value> = client.query_one(rows, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job_history").await, 0);
    assert_eq!((worker.metrics.completed(), worker.metrics.failed()), (0, 0));
    worker.stop().await;
}

// CONFORMANCE 24
#[tokio::test(flavor = "multi_thread")]
async fn outcomes_of_all_sorts_are_recorded_in_one_batch() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let jobs: Vec<NewJob> = (0..400).map(|n: i32| NewJob::of(&task((n % 8).to_string())).unwrap()).collect();
    enqueue_many(&client, &jobs).await.unwrap();
    let worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 400),
        |task, cx| async move {
            // All end together.
            tokio::task::yield_now().await;
            match (task.name.as_str(), cx.attempt()) {
                ("0", _) => Err(JobError::cancel("0")),
                ("1", _) => Err(JobError::discard("1")),
                ("2", _) => Err(JobError::retry_after("2", HOUR)),
                ("3", _) => Err(JobError::snooze(HOUR)),
                ("4", _) => panic!("4"),
                ("5", 1) => Err(JobError::retry_after("5", Duration::ZERO)),
                _ => Ok(()),
            }
        },
    );
    let counted = "SELECT count(*) FROM (SELECT args ->> 'name', state FROM postrider.jobs
                   WHERE (args ->> 'name', state) IN (
                       ('0', 'cancelled'), ('1', 'discarded'), ('2', 'retryable'), ('3', 'scheduled'), ('4', 'retryable'),
                       ('5', 'completed'), ('6', 'completed'), ('7', 'completed'))) AS j";
    number_becomes(&client, counted, 400).await;
    worker.stop().await;
}

/// Makes the history refuse rows: `condition` decides, `sqlstate` is what it says.
async fn refuse_history(client: &Client, condition: &str, sqlstate: &str) {
    client
        .batch_execute(&format!(
            "CREATE SEQUENCE refusals;
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF {condition} THEN RAISE EXCEPTION 'refused' USING ERRCODE = '{sqlstate}'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON postrider.job_history FOR EACH ROW EXECUTE FUNCTION refuse()"
        ))
        .await
        .unwrap();
}

// CONFORMANCE 24
#[tokio::test(flavor = "multi_thread")]
async fn a_passing_fault_of_the_database_is_retried_until_the_outcome_is_recorded() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    // A sequence is not rolled back with the refusal.
    refuse_history(&client, "nextval('refusals') <= 3", "40001").await;
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 10), |_, _| async { Ok(()) });
    let id = enqueue(&client, &task("")).await.unwrap();
    worker.next_start().await;
    assert_eq!(job_becomes(&client, id, State::Completed).await.attempt, 1);
    // And over a broken connection.
    assert_eq!(terminate_backends(&client, "postrider finish").await, 1);
    let id = enqueue(&client, &task("")).await.unwrap();
    assert_eq!(job_becomes(&client, id, State::Completed).await.attempt, 1);
    assert_eq!(worker.metrics.completed(), 2);
    worker.stop().await;
}

// CONFORMANCE 24: the neighbour, the answer to a record is lost
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_whose_record_was_never_answered_is_recorded_once() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let proxy = support::proxy::Proxy::new(&db).await;
    let database = postrider::Database::from_url(&proxy.url).unwrap();
    let mut worker = TestWorker::start(&database, one_slot, |task, _| async move {
        if task.name == "retry" { Err(JobError::retry_after("later", HOUR)) } else { Ok(()) }
    });
    for (name, state) in [("complete", State::Completed), ("retry", State::Retryable)] {
        // So that the statement is prepared and only its execution remains.
        let warm_up = enqueue(&client, &task(name)).await.unwrap();
        worker.next_start().await;
        job_becomes(&client, warm_up, state).await;
        until("its record is known", PATIENCE, || async {
            (worker.metrics.completed() + worker.metrics.failed() >= 1).then_some(())
        })
        .await;
        proxy.swallow_answers("finish");
        let id = enqueue(&client, &task(name)).await.unwrap();
        worker.next_start().await;
        let record = job_becomes(&client, id, state).await;
        proxy.cut("finish");
        let next = enqueue(&client, &task("next")).await.unwrap();
        job_becomes(&client, next, State::Completed).await;
        let after = job(&client, id).await;
        assert_eq!((after.attempt, after.state, after.run_at), (1, state, record.run_at));
        assert_eq!(after.attempt_errors().len(), record.attempt_errors().len());
    }
    until("all outcomes are counted", PATIENCE, || async { (worker.metrics.failed() == 2).then_some(()) }).await;
    assert_eq!(worker.metrics.stale(), 0, "no attempt was refused");
    worker.stop().await;
}

// CONFORMANCE 24
#[tokio::test(flavor = "multi_thread")]
async fn one_outcome_that_the_database_refuses_is_singled_out_and_the_others_go_through() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    refuse_history(&client, "NEW.args ->> 'name' = '17'", "P0001").await;
    let jobs: Vec<NewJob> = (0..50).map(|n: i32| NewJob::of(&task(n.to_string())).unwrap()).collect();
    let ids = enqueue_many(&client, &jobs).await.unwrap();
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 50), |_, _| async { Ok(()) });
    number_becomes(&client, "SELECT count(*) FROM postrider.jobs WHERE state = 'completed'", 49).await;
    // The one is neither lost nor run again and again without a pause: it is a failed attempt.
    let record = job_becomes(&client, ids[17], State::Retryable).await;
    assert!(record.error.unwrap().contains("refused"));
    assert_about(retry_delay(&client, ids[17]).await, f64::from(record.attempt).powi(4));
    let mut starts = 0;
    while let Ok(started) = worker.starts.try_recv() {
        starts += i32::from(started.job_id == ids[17]);
    }
    assert!(starts <= record.attempt, "{starts} starts for {} attempts", record.attempt);
    // Once the database takes it, it goes its way.
    client.batch_execute("DROP TRIGGER refuse ON postrider.job_history").await.unwrap();
    job_becomes(&client, ids[17], State::Completed).await;
    worker.stop().await;
}

// CONFORMANCE 24: the neighbour, a day without a partition
#[tokio::test(flavor = "multi_thread")]
async fn a_finish_that_meets_a_missing_partition_makes_it_and_goes_on() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker = TestWorker::start(&db.database, one_slot, |task, _| async move {
        if task.name == "bad" { Err(JobError::discard("bad")) } else { Ok(()) }
    });
    let first = enqueue(&client, &task("first")).await.unwrap();
    worker.next_start().await;
    job_becomes(&client, first, State::Completed).await;
    let partitions = "SELECT string_agg('DROP TABLE postrider.' || relname, '; ') FROM pg_class
                      WHERE relname ~ '^job_history_[0-9]{8}$'";
    let drop_all: String = client.query_one(partitions, &[]).await.unwrap().get(0);
    client.batch_execute(&drop_all).await.unwrap();
    let good = enqueue(&client, &task("good")).await.unwrap();
    let bad = enqueue(&client, &task("bad")).await.unwrap();
    job_becomes(&client, good, State::Completed).await;
    job_becomes(&client, bad, State::Discarded).await;
    worker.stop().await;
}

// CONFORMANCE 24
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_lags_with_records_holds_up_claims() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let jobs: Vec<NewJob> = (0..6_000).map(|_| NewJob::of(&task("")).unwrap()).collect();
    enqueue_many(&client, &jobs).await.unwrap();
    let mut locking = db.connect().await;
    let lock = locking.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE postrider.job_history IN EXCLUSIVE MODE").await.unwrap();
    let worker = TestWorker::start(&db.database, |w| w.queue("default", 100), |_, _| async { Ok(()) });
    // It goes on claiming until its buffer is full, and then stands still.
    let mut last = (0, Instant::now());
    until("claims are held up", 2 * PATIENCE, || {
        let claimed = worker.metrics.claimed();
        if claimed > last.0 {
            last = (claimed, Instant::now());
        }
        let still = claimed > 0 && last.1.elapsed() > Duration::from_millis(500);
        async move { still.then_some(()) }
    })
    .await;
    // What waits, one batch being written, and the slots.
    assert!(last.0 <= 2_000 + 1_000 + 100, "{} claimed", last.0);
    lock.commit().await.unwrap();
    until("all are recorded", 2 * PATIENCE, || async { (worker.metrics.completed() == 6_000).then_some(()) }).await;
    assert_eq!((running(&client).await, worker.metrics.stale()), (0, 0));
    worker.stop().await;
}

// CONFORMANCE 16: a retry without a delay is claimed again before its own worker knows of its record
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_due_again_at_once_is_not_mistaken_for_its_last_attempt() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let proxy = support::proxy::Proxy::new(&db).await;
    let database = postrider::Database::from_url(&proxy.url).unwrap();
    let set = |w: Worker<Starts>| one_slot(w).poll_interval(Duration::from_millis(20));
    let mut worker = TestWorker::start(&database, set, |_, cx| async move {
        if cx.attempt() == 1 { Err(JobError::retry_after("again", Duration::ZERO)) } else { Ok(()) }
    });
    // So that the statement is prepared and only its execution remains.
    let warm_up = enqueue(&client, &task("warm up")).await.unwrap();
    job_becomes(&client, warm_up, State::Completed).await;
    until("its record is known", PATIENCE, || async { (worker.metrics.completed() == 1).then_some(()) }).await;
    proxy.hold_answers("finish");
    let id = enqueue(&client, &task("again")).await.unwrap();
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running AND claim = 2", 1).await;
    proxy.release_answers();
    let record = job_becomes(&client, id, State::Completed).await;
    assert_eq!((record.attempt, record.attempt_errors().len()), (2, 1));
    until("all outcomes are counted", PATIENCE, || async { (worker.metrics.completed() == 2).then_some(()) }).await;
    assert_eq!((worker.metrics.failed(), worker.metrics.stale()), (2, 0));
    while worker.starts.try_recv().is_ok() {}
    worker.stop().await;
}
