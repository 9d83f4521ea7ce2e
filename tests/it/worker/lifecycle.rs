//! Start, stop, death (CONFORMANCE 25, 27, 35 to 37).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::database::TestDatabase;
use crate::support::proxy::Proxy;
use crate::support::rows::{job, job_becomes, number, number_becomes, running, terminate_backends, workers_listen};
use crate::support::timing::takes_less_than;
use crate::support::wait::{PATIENCE, until, within};
use crate::support::worker::{Starts, Task, TestWorker, task, tasks};
use chrono::{DateTime, Utc};
use postrider::worker::Summary;
use postrider::{Context, Database, Error, JobError, Shutdown, State, Worker, enqueue, enqueue_many};
use tokio::sync::Semaphore;

const NEVER: Duration = Duration::from_hours(1);
const WORKERS: &str = "SELECT count(*) FROM postrider.worker";

async fn ok(_: Task, _: Context<Starts>) -> Result<(), JobError> {
    Ok(())
}

async fn nothing(_: Vec<(Task, Context<Starts>)>) -> Vec<Result<(), JobError>> {
    Vec::new()
}

// CONFORMANCE 35 (what the worker itself checks)
#[tokio::test]
async fn a_bad_setting_fails_at_the_start_and_leaves_nothing_behind() {
    type Set = fn(Worker<Starts>) -> Worker<Starts>;
    let db = TestDatabase::new().await;
    let cases: [(&str, Set); 15] = [
        ("queues", |w| w),
        ("queues", |w| w.queue("a", 1).queue("a", 2)),
        ("queue", |w| w.queue("a b", 1)),
        ("concurrency", |w| w.queue("a", 0)),
        ("concurrency", |w| w.queue("a", 10_001)),
        ("poll_interval", |w| w.queue("a", 1).poll_interval(Duration::ZERO)),
        ("poll_interval", |w| w.queue("a", 1).poll_interval(Duration::MAX)),
        ("lease", |w| w.queue("a", 1).lease(Duration::from_secs(1))),
        ("shutdown_timeout", |w| w.queue("a", 1).shutdown_timeout(Duration::MAX)),
        ("kind", |w| w.queue("a", 1).handle(|_: Task, _| async { Ok(()) })),
        ("blocking_threads", |w| w.queue("a", 1).blocking_threads(0)),
        ("blocking_threads", |w| w.queue("a", 1).blocking_threads(1_001)),
        ("max", |w| w.queue("a", 1).handle_many(0, Duration::ZERO, nothing)),
        ("wait", |w| w.queue("a", 1).handle_many(1, Duration::from_secs(61), nothing)),
        ("interval", |w| w.queue("a", 1).every::<Task>(Duration::ZERO)),
    ];
    for (number, (wanted, set)) in cases.into_iter().enumerate() {
        match TestWorker::start(&db.database, set, ok).result().await {
            Err(Error::Invalid { field, problem, .. }) => assert_eq!(field, wanted, "case {number}: {problem}"),
            other => panic!("case {number}, {wanted}: {other:?}"),
        }
    }
    let (reports, _) = tokio::sync::mpsc::unbounded_channel();
    let without_handlers: Worker<Starts> = Worker::new(db.database.clone(), reports).queue("a", 1);
    assert!(matches!(without_handlers.run(Shutdown::new()).await, Err(Error::Invalid { field: "kind", .. })));
    assert_eq!(number(&db.connect().await, WORKERS).await, 0);

    let nowhere = Database::from_url("postgres://nobody@127.0.0.1:1/nothing").unwrap();
    let started = Instant::now();
    let unreachable = TestWorker::start(&nowhere, |w| w.queue("a", 1), ok).result().await.unwrap_err();
    assert!(matches!(unreachable, Error::Connect { .. }), "{unreachable}");
    assert!(started.elapsed() < PATIENCE);
}

/// A handler that runs until the gate opens, or for ever.
fn gated(
    gate: &Arc<Semaphore>,
) -> impl Fn(Task, Context<Starts>) -> futures_util::future::BoxFuture<'static, Result<(), JobError>> + use<> {
    let gate = Arc::clone(gate);
    move |_, _| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            gate.acquire().await?.forget();
            Ok(())
        })
    }
}

// CONFORMANCE 36
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_claims_nothing_more_lets_running_jobs_end_and_records_them() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    let mut worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 2).queue("free", 5).poll_interval(Duration::from_millis(50)),
        gated(&gate),
    );
    enqueue_many(&client, &tasks(5)).await.unwrap();
    let running_ones = [worker.next_start().await.job_id, worker.next_start().await.job_id];
    worker.shutdown.begin();
    // Slots there are, of another queue; and the running ones end well after the shutdown began.
    let late = enqueue(&client, &task("late")).queue("free").await.unwrap().id;
    until("the worker has noticed", PATIENCE, || async {
        let claims = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND application_name = 'postrider claim'";
        (number(&client, claims).await == 0).then_some(())
    })
    .await;
    gate.add_permits(100);
    assert_eq!(worker.stop().await, Summary { completed: 2, abandoned: 0 });
    for id in running_ones {
        assert_eq!(job(&client, id).await.state, State::Completed);
    }
    assert_eq!(
        number(&client, "SELECT count(*) FROM postrider.jobs WHERE state = 'available' AND attempt = 0").await,
        4
    );
    assert_eq!(job(&client, late).await.state, State::Available);
    assert_eq!((running(&client).await, number(&client, WORKERS).await), (0, 0));
}

// CONFORMANCE 36
#[tokio::test(flavor = "multi_thread")]
async fn jobs_cut_off_by_the_timeout_or_a_second_signal_are_released_at_once_and_not_counted() {
    for at_once in [false, true] {
        let db = TestDatabase::new().await;
        let client = db.connect().await;
        let told = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&told);
        let timeout = if at_once { NEVER } else { Duration::from_millis(200) };
        let mut worker = TestWorker::start(
            &db.database,
            |w| w.queue("default", 5).shutdown_timeout(timeout),
            move |task, cx| {
                let flag = Arc::clone(&flag);
                async move {
                    if task.name == "told" {
                        cx.cancelled().await;
                        flag.store(true, Ordering::Release);
                        return Err(JobError::retry("stopped"));
                    }
                    std::future::pending().await
                }
            },
        );
        let mut ids = Vec::new();
        for name in ["told", "ignores"] {
            ids.push(enqueue(&client, &task(name)).max_attempts(1).await.unwrap().id);
            worker.next_start().await;
        }
        let mut heir = TestWorker::start(&db.another_pool(), |w| w.queue("default", 5).poll_interval(NEVER), ok);
        workers_listen(&client, 2).await;
        worker.shutdown.begin();
        if at_once {
            worker.shutdown.cut_off();
        }
        assert_eq!(worker.stop().await, Summary { completed: 0, abandoned: 2 });
        assert!(told.load(Ordering::Acquire));
        // The others were notified of them, and it is still their first attempt.
        for _ in 0..2 {
            assert_eq!(heir.next_start().await.attempt, 1);
        }
        for id in ids {
            let record = job_becomes(&client, id, State::Completed).await;
            assert_eq!((record.attempt, record.errors.get()), (1, "[]"));
        }
        heir.stop().await;
    }
}

// CONFORMANCE 36: the neighbour, a job that is being started when the running ones are cut off
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_starts_while_jobs_are_cut_off_is_released_and_not_cancelled() {
    const JOBS: usize = 200;
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    enqueue_many(&client, &tasks(JOBS)).await.unwrap();
    for round in 0..5 {
        let set = |w: Worker<Starts>| w.queue("default", JOBS);
        let mut worker = TestWorker::start(&db.another_pool(), set, |_, _| std::future::pending());
        // In the midst of the starts.
        for _ in 0..=JOBS / 5 * round {
            worker.next_start().await;
        }
        worker.shutdown.cut_off();
        assert_eq!(worker.stop().await.completed, 0);
        let released = "SELECT count(*) FROM postrider.job WHERE NOT running AND attempt = 0";
        assert_eq!(number(&client, released).await, i64::try_from(JOBS).unwrap(), "round {round}");
    }
}

// CONFORMANCE 36: the neighbour, a handler that returns `Ok` when it is asked to stop
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_by_itself_when_it_is_cut_off_is_recorded_and_not_abandoned() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 5).shutdown_timeout(Duration::ZERO),
        |task, cx| async move {
            cx.cancelled().await;
            if task.name == "snoozes" { Err(JobError::snooze(NEVER)) } else { Ok(()) }
        },
    );
    let done = enqueue(&client, &task("completes")).await.unwrap().id;
    let snoozed = enqueue(&client, &task("snoozes")).await.unwrap().id;
    worker.next_start().await;
    worker.next_start().await;
    assert_eq!(worker.stop().await, Summary { completed: 2, abandoned: 0 });
    assert_eq!(job(&client, done).await.state, State::Completed);
    assert_eq!(job(&client, snoozed).await.state, State::Scheduled);
}

// CONFORMANCE 36: the neighbour, the database cannot take the last outcomes
#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_outcome_could_not_be_recorded_are_taken_over_by_another_worker() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 1), gated(&gate));
    let id = enqueue(&client, &task("unrecorded")).await.unwrap().id;
    worker.next_start().await;
    let heir = TestWorker::start(&db.another_pool(), |w| w.queue("default", 1), ok);
    let mut locking = db.connect().await;
    let lock = locking.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE postrider.job_history IN EXCLUSIVE MODE").await.unwrap();
    gate.add_permits(1);
    assert_eq!(worker.stop().await.abandoned, 1);
    assert_eq!(job(&client, id).await.state, State::Running);
    lock.rollback().await.unwrap();
    job_becomes(&client, id, State::Completed).await;
    number_becomes(&client, WORKERS, 1).await;
    heir.stop().await;
}

// CONFORMANCE 36: the neighbour, maintenance waits for a lock
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_rescue_that_waits() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut dying = TestWorker::start(&db.another_pool(), |w| w.queue("default", 1), |_, _| std::future::pending());
    enqueue(&client, &task("lost")).await.unwrap();
    dying.next_start().await;
    let rescuing = TestWorker::start(&db.another_pool(), |w| w.queue("other", 1), ok);
    workers_listen(&client, 2).await;
    let mut locking = db.connect().await;
    let lock = locking.transaction().await.unwrap();
    lock.batch_execute("SELECT FROM postrider.worker WHERE queues = '{default}' FOR UPDATE").await.unwrap();
    dying.kill().await;
    // The rescue waits for the row of the lease, and would for 30 s.
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    number_becomes(&client, waiting, 1).await;
    rescuing.shutdown.begin();
    within("the worker stops", PATIENCE, rescuing.stop()).await;
    lock.rollback().await.unwrap();
    let heir = TestWorker::start(&db.another_pool(), |w| w.queue("default", 1), ok);
    number_becomes(&client, "SELECT count(*) FROM postrider.jobs WHERE state = 'completed'", 1).await;
    heir.stop().await;
}

// CONFORMANCE 25 (in one process; the issue "Nothing lost" kills real ones)
#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_a_dead_worker_are_run_by_another_and_each_has_one_owner() {
    // Within 2 s is what is promised; without its lock they would wait for the end of its lease, 15 s.
    takes_less_than(Duration::from_secs(4), "to run the jobs of a dead worker", runs_of_a_dead_worker).await;
}

/// Returns how long after its death the last of its jobs started again.
async fn runs_of_a_dead_worker() -> Duration {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut dying = TestWorker::start(&db.another_pool(), |w| w.queue("default", 20), |_, _| std::future::pending());
    enqueue_many(&client, &tasks(20)).await.unwrap();
    for _ in 0..20 {
        dying.next_start().await;
    }
    // They poll too seldom to find them by chance.
    let set = |w: Worker<Starts>| w.queue("default", 20).poll_interval(NEVER);
    let mut heirs: Vec<TestWorker> = (0..3).map(|_| TestWorker::start(&db.another_pool(), set, ok)).collect();
    workers_listen(&client, 4).await;
    let death: DateTime<Utc> = client.query_one("SELECT clock_timestamp()", &[]).await.unwrap().get(0);
    dying.kill().await;
    number_becomes(&client, "SELECT count(*) FROM postrider.jobs WHERE state = 'completed' AND attempt = 2", 20).await;
    let took = "SELECT extract(epoch FROM max(attempted_at) - $1)::double precision FROM postrider.jobs";
    let took = Duration::from_secs_f64(client.query_one(took, &[&death]).await.unwrap().get(0));
    let mut starts: Vec<i64> = Vec::new();
    for heir in &mut heirs {
        while let Ok(started) = heir.starts.try_recv() {
            starts.push(started.job_id);
        }
    }
    starts.sort_unstable();
    assert_eq!(starts.len(), 20);
    starts.dedup();
    assert_eq!(starts.len(), 20);
    assert_eq!(heirs.iter().map(|heir| heir.metrics.rescued()).sum::<u64>(), 20);
    number_becomes(&client, WORKERS, 3).await;
    for heir in heirs {
        heir.stop().await;
    }
    took
}

// CONFORMANCE 25: the neighbour, a worker whose future is dropped is dead in every respect
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_dropped_runs_nothing_more() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut ids = Vec::new();
    let mut worker = TestWorker::start(&db.another_pool(), |w| w.queue("default", 5), |_, _| std::future::pending());
    ids.push(enqueue(&client, &task("running")).await.unwrap().id);
    worker.next_start().await;
    let mut starts = std::mem::replace(&mut worker.starts, tokio::sync::mpsc::unbounded_channel().1);
    worker.kill().await;
    // Its handlers are gone, and with them all that could report a start.
    ids.push(enqueue(&client, &task("waiting")).await.unwrap().id);
    assert!(within("its handlers are dropped", PATIENCE, starts.recv()).await.is_none(), "it started another");
    let sessions = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name LIKE 'postrider %'";
    number_becomes(&client, sessions, 0).await;
    let heir = TestWorker::start(&db.another_pool(), |w| w.queue("default", 5), ok);
    for id in ids {
        job_becomes(&client, id, State::Completed).await;
    }
    heir.stop().await;
}

// CONFORMANCE 25
#[tokio::test(flavor = "multi_thread")]
async fn a_long_job_is_never_taken_from_a_live_worker_whatever_its_handlers_do_with_the_pool() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let lease = Duration::from_secs(5);
    let set = |w: Worker<Starts>| w.queue("default", 10).lease(lease);
    // Ten handlers, each with a connection for longer than two leases: the whole pool.
    let mut worker = TestWorker::start(&db.another_pool(), set, move |_, cx| async move {
        let client = cx.database().client().await?;
        client.execute("SELECT pg_sleep(11)", &[]).await?;
        Ok(())
    });
    workers_listen(&client, 1).await;
    enqueue_many(&client, &tasks(10)).await.unwrap();
    for _ in 0..10 {
        worker.next_start().await;
    }
    let other = TestWorker::start(&db.another_pool(), |w| set(w).queue("other", 1), ok);
    number_becomes(&client, "SELECT count(*) FROM postrider.jobs WHERE state = 'completed' AND attempt = 1", 10).await;
    assert_eq!((other.metrics.rescued(), worker.metrics.stale()), (0, 0));
    worker.stop().await;
    other.stop().await;
}

// CONFORMANCE 27 (backends; restarts of the server come with "Nothing lost")
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_backends_are_all_killed_carries_on() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker = TestWorker::start(&db.another_pool(), |w| w.queue("default", 5).poll_interval(NEVER), ok);
    workers_listen(&client, 1).await;
    for _ in 0..3 {
        let id = enqueue(&client, &task("before")).await.unwrap().id;
        assert_eq!(worker.next_start().await.job_id, id);
        terminate_backends(&client, "%").await;
        // Not notified, and found by the claim that follows a reconnect.
        let id = enqueue(&client, &task("after")).await.unwrap().id;
        assert_eq!(worker.next_start().await.job_id, id);
        workers_listen(&client, 1).await;
    }
    number_becomes(&client, "SELECT count(*) FROM postrider.jobs WHERE state = 'completed' AND attempt = 1", 6).await;
    worker.stop().await;
}

// CONFORMANCE 27, 28: the neighbour, the very first try to listen meets a passing fault
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_first_listener_is_cut_listens_soon_after() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let proxy = Proxy::new(&db).await;
    proxy.cut_next("listen");
    let database = Database::from_url(&proxy.url).unwrap();
    let mut worker = TestWorker::start(&database, |w| w.queue("default", 1).poll_interval(NEVER), ok);
    workers_listen(&client, 1).await;
    assert!(proxy.has_cut());
    enqueue(&client, &task("heard")).await.unwrap();
    worker.next_start().await;
    worker.stop().await;
}

// CONFORMANCE 37
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_starts_and_stops_under_load_leak_no_tasks_connections_or_rows() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let sessions = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
    // The pool that migrated stays.
    let before = (alive(), number(&client, sessions).await);
    for _ in 0..100 {
        enqueue_many(&client, &tasks(5)).await.unwrap();
        let mut worker = TestWorker::start(&db.another_pool(), |w| w.queue("default", 3).every::<Task>(NEVER), ok);
        worker.next_start().await;
        worker.stop().await;
    }
    assert_eq!((running(&client).await, number(&client, WORKERS).await), (0, 0));
    number_becomes(&client, sessions, before.1).await;
    until("all tasks have ended", PATIENCE, || async { (alive() <= before.0).then_some(()) }).await;
    // What was cut off by a stop was released, not lost.
    let worker = TestWorker::start(&db.another_pool(), |w| w.queue("default", 50), ok);
    number_becomes(&client, "SELECT count(*) FROM postrider.jobs WHERE state = 'completed' AND attempt = 1", 500).await;
    worker.stop().await;
}
