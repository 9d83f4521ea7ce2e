//! Large args, read when their jobs start and limited in bytes (CONFORMANCE 42).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::rows::{job_becomes, number_becomes};
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, TestWorker, task};
use postrider::enqueue::enqueue_job;
use postrider::{Context, Job, NewJob, State, admin, enqueue_many};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

const MIB: usize = 1024 * 1024;
/// The smallest limit.
const LIMIT: usize = 4 * MIB;
/// A job's args, in bytes, so that three at most are in memory.
const SIZE: usize = MIB - 100;
const JOBS: usize = 24;

#[derive(Serialize, Deserialize)]
struct Large {
    text: String,
}

impl Job for Large {
    const KIND: &'static str = "large";
}

/// Text that compresses, or not.
fn text(size: usize, compresses: bool) -> String {
    if compresses { "x".repeat(size) } else { (0..size).map(|_| fastrand::alphanumeric()).collect() }
}

/// The sum of the args of the handlers that run, and its maximum.
#[derive(Default)]
struct Held {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Held {
    fn add(&self, bytes: usize) {
        let now = self.now.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.most.fetch_max(now, Ordering::SeqCst);
    }
}

// CONFORMANCE 42
#[tokio::test(flavor = "multi_thread")]
async fn the_args_of_running_jobs_never_exceed_their_limit() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let jobs = (0..JOBS).map(|number| NewJob::of(&Large { text: text(SIZE, number % 2 == 0) }).unwrap());
    enqueue_many(&client, &jobs.collect::<Vec<_>>()).await.unwrap();
    let held = Arc::new(Held::default());
    let worker = TestWorker::start(
        &db.database,
        |w| {
            let held = Arc::clone(&held);
            w.queue("default", 100).args_memory(LIMIT).handle(move |large: Large, _: Context<Starts>| {
                let held = Arc::clone(&held);
                async move {
                    held.add(large.text.len());
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    held.now.fetch_sub(large.text.len(), Ordering::SeqCst);
                    Ok(large.text.len())
                }
            })
        },
        |_, _| async { Ok(()) },
    );
    let done = format!("SELECT count(*) FROM postrider.job_history WHERE state = 'completed' AND output = '{SIZE}'");
    number_becomes(&client, &done, i64::try_from(JOBS).unwrap()).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE attempt <> 1", 0).await;
    worker.stop().await;
    let most = held.most.load(Ordering::SeqCst);
    assert!(most > SIZE && most <= LIMIT, "{most} bytes of args at once");
}

/// A worker whose only two large jobs that fit wait for the gate, and the ids of the others, which wait for memory.
async fn full_of_args(db: &TestDatabase, gate: &Arc<Semaphore>) -> (TestWorker, Vec<i64>) {
    let client = db.connect().await;
    let gate = Arc::clone(gate);
    let worker = TestWorker::start(
        &db.database,
        |w| {
            w.queue("default", 10).queue("other", 10).args_memory(LIMIT).shutdown_timeout(Duration::ZERO).handle(
                move |_: Large, _: Context<Starts>| {
                    let gate = Arc::clone(&gate);
                    async move {
                        gate.acquire().await?.forget();
                        Ok(())
                    }
                },
            )
        },
        |_, _| async { Ok(()) },
    );
    let jobs: Vec<_> = (0..6).map(|_| NewJob::of(&Large { text: text(SIZE, true) }).unwrap()).collect();
    let ids = ids_of(enqueue_many(&client, &jobs).await.unwrap());
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running", 6).await;
    until("three attempts run", PATIENCE, || async { (worker.metrics.running() == 3).then_some(()) }).await;
    (worker, ids)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_memory_is_cancelled_at_once() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    let (worker, ids) = full_of_args(&db, &gate).await;
    let waiting = *ids.last().unwrap();
    admin::cancel(&client, waiting).await.unwrap();
    job_becomes(&client, waiting, State::Cancelled).await;
    assert_eq!(worker.metrics.running(), 3);
    gate.add_permits(10);
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE state = 'completed'", 5).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_for_memory_are_released_by_a_shutdown_and_not_counted() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    let (worker, _) = full_of_args(&db, &gate).await;
    let summary = worker.stop().await;
    assert_eq!(summary.abandoned, 3, "those whose handlers ran");
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE NOT running AND attempt = 0", 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_queue_goes_on_once_memory_is_free() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    let (mut worker, _) = full_of_args(&db, &gate).await;
    let small = NewJob::of(&task("small")).and_then(|job| job.queue("other")).unwrap();
    enqueue_job(&client, small).await.unwrap();
    gate.add_permits(10);
    assert_eq!(worker.next_start().await.name, "small");
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE state = 'completed'", 7).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn args_are_read_again_after_their_connection_was_killed() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut blocker = db.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    let (worker, _) = full_of_args(&db, &gate).await;
    let lock = blocker.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE postrider.job IN ACCESS EXCLUSIVE MODE").await.unwrap();
    gate.add_permits(10);
    let reading = until("args are being read", PATIENCE, || async {
        let query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
                     AND query LIKE '%readable(args)%' AND wait_event_type = 'Lock'";
        client.query_opt(query, &[]).await.unwrap().map(|row| row.get::<_, i32>(0))
    })
    .await;
    client.execute("SELECT pg_terminate_backend($1)", &[&reading]).await.unwrap();
    lock.rollback().await.unwrap();
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE state = 'completed'", 6).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE attempt <> 1", 0).await;
    worker.stop().await;
}

/// The database refuses to read the args of `Large` jobs with this text, as it does those of a damaged row.
async fn damage(client: &tokio_postgres::Client, text: &str) {
    let function = format!(
        "CREATE OR REPLACE FUNCTION postrider.readable(value jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
         BEGIN
             IF $1 ->> 'text' = '{text}' THEN
                 RAISE EXCEPTION 'missing chunk' USING ERRCODE = 'data_corrupted';
             END IF;
             RETURN $1;
         END $$"
    );
    client.batch_execute(&function).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn args_that_cannot_be_read_fail_their_attempt_and_hold_up_no_other() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let damaged_text = text(SIZE, true);
    let mut jobs: Vec<_> = (0..8).map(|_| NewJob::of(&Large { text: text(SIZE, false) }).unwrap()).collect();
    jobs[3] = NewJob::of(&Large { text: damaged_text.clone() }).and_then(|job| job.max_attempts(1)).unwrap();
    let ids = ids_of(enqueue_many(&client, &jobs).await.unwrap());
    damage(&client, &damaged_text).await;
    let worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 10).handle(|_: Large, _: Context<Starts>| async { Ok(()) }),
        |_, _| async { Ok(()) },
    );
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE state = 'completed'", 7).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE state = 'discarded'", 1).await;
    worker.stop().await;
    let failed = client
        .query_one("SELECT id, errors -> -1 ->> 'error' FROM postrider.job_history WHERE state = 'discarded'", &[]);
    let failed = failed.await.unwrap();
    assert_eq!(failed.get::<_, i64>(0), ids[3]);
    let error: &str = failed.get(1);
    assert!(error.starts_with("the database cannot read the args: ") && error.contains("missing chunk"), "{error}");
}
