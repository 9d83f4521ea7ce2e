//! Runs in a transaction of the test, and the transactions that the context lends.

use std::time::Duration;

use postrider::testing::TestWorker;
use postrider::{Context, Error, Job, JobError, Shutdown, State, Worker, admin, enqueue};
use serde::{Deserialize, Serialize};

use super::{Log, Step, brief, said, say, test_worker};
use crate::support::database::TestDatabase;
use crate::support::rows::{job_becomes, number};

const TABLE: &str = "CREATE TABLE public.effect (name text NOT NULL UNIQUE)";
const EFFECT: &str = "INSERT INTO public.effect VALUES ($1)";
const EFFECTS: &str = "SELECT count(*) FROM public.effect";

/// Writes its name in a transaction that it is lent, and ends as it says.
#[derive(Debug, Serialize, Deserialize)]
struct Write {
    name: String,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum End {
    Commit,
    Complete,
    RollBack,
    Drop,
    Fail,
    BeginTwice,
    WriteTwice,
    /// As `WriteTwice`, and goes on as if nothing had happened.
    IgnoreTheError,
}

impl Job for Write {
    const KIND: &'static str = "write";
    const MAX_ATTEMPTS: Option<u32> = Some(1);
}

async fn write(job: Write, cx: Context<Log>) -> Result<(), JobError> {
    let tx = cx.begin().await?;
    tx.execute(EFFECT, &[&job.name]).await?;
    match job.end {
        End::Commit => tx.commit().await?,
        End::Complete => {
            cx.complete_in(&tx).output(&"written").await?;
            tx.commit().await?;
        }
        End::RollBack => tx.roll_back().await?,
        End::Drop => drop(tx),
        End::Fail => return Err(JobError::retry("failed after the write")),
        End::BeginTwice => {
            let other = cx.begin().await?;
            other.commit().await?;
            tx.commit().await?;
        }
        End::WriteTwice => {
            tx.execute(EFFECT, &[&job.name]).await?;
            tx.commit().await?;
        }
        End::IgnoreTheError => {
            tx.execute(EFFECT, &[&job.name]).await.unwrap_err();
            tx.commit().await?;
        }
    }
    Ok(())
}

fn named(name: &str, end: End) -> Write {
    Write { name: name.to_owned(), end }
}

async fn with_table() -> TestDatabase {
    let db = TestDatabase::new().await;
    db.connect().await.batch_execute(TABLE).await.unwrap();
    db
}

fn writing(db: &TestDatabase) -> Worker<Log> {
    super::worker(db.another_pool(), &Log::default()).handle(write)
}

#[tokio::test]
async fn jobs_of_a_transaction_run_in_it_and_leave_nothing() {
    let db = with_table().await;
    let worker = TestWorker::new(writing(&db)).unwrap();
    let tx = worker.begin().await.unwrap();
    for (name, end) in
        [("a", End::Commit), ("b", End::Complete), ("c", End::RollBack), ("d", End::Drop), ("e", End::Fail)]
    {
        enqueue(&tx, &named(name, end)).await.unwrap();
    }
    let ran = worker.run_due_in(&tx, Duration::ZERO).await.unwrap();
    assert_eq!(brief(&ran), "1 completed, 1 completed, 1 completed, 1 completed, 1 discarded");
    assert_eq!(number(&tx, EFFECTS).await, 2);
    let completed = admin::find(&tx, ran[1].job_id).await.unwrap().unwrap();
    assert_eq!(completed.output_as::<String>().unwrap().as_deref(), Some("written"));
    drop(tx);
    let tables = ["public.effect", "postrider.job", "postrider.job_history", "postrider.worker"];
    for table in tables {
        assert_eq!(db.count(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_failed_statement_and_a_second_transaction_end_only_their_attempt() {
    let db = with_table().await;
    let worker = TestWorker::new(writing(&db)).unwrap();
    let tx = worker.begin().await.unwrap();
    enqueue(&tx, &named("twice", End::WriteTwice)).await.unwrap();
    enqueue(&tx, &named("nested", End::BeginTwice)).await.unwrap();
    enqueue(&tx, &named("ignored", End::IgnoreTheError)).await.unwrap();
    enqueue(&tx, &named("good", End::Commit)).await.unwrap();
    let ran = worker.run_due_in(&tx, Duration::ZERO).await.unwrap();
    assert_eq!(brief(&ran), "1 discarded, 1 discarded, 1 discarded, 1 completed");
    let error = |number: usize| format!("{:?}", ran[number].outcome);
    assert!(error(0).contains("duplicate key"), "{}", error(0));
    assert!(error(1).contains("one is open at a time"), "{}", error(1));
    assert_eq!(number(&tx, EFFECTS).await, 1);
}

#[tokio::test]
async fn time_passes_in_a_transaction_too_and_tests_that_share_a_database_do_not_meet() {
    let db = TestDatabase::new().await;
    let (worker, log) = test_worker(db.database.clone());
    let (other, _) = test_worker(db.another_pool());
    let (tx, its) = (worker.begin().await.unwrap(), other.begin().await.unwrap());
    enqueue(&its, &say("not mine")).await.unwrap();
    enqueue(&tx, &Step::Enqueue(vec![(say("inner"), 600)])).run_in(Duration::from_mins(10)).await.unwrap();
    enqueue(&tx, &Step::Return("x".repeat(4_000))).await.unwrap();
    assert_eq!(worker.run_due_in(&tx, Duration::from_secs(1_100)).await.unwrap().len(), 2);
    assert_eq!(worker.run_due_in(&tx, Duration::from_secs(200)).await.unwrap().len(), 1);
    assert_eq!(said(&log), "inner");
    assert_eq!(brief(&other.run_due_in(&its, Duration::ZERO).await.unwrap()), "1 completed");
}

/// As [`jobs_of_a_transaction_run_in_it_and_leave_nothing`], by a worker that runs.
#[tokio::test]
async fn a_lent_transaction_of_a_running_worker_is_kept_only_if_it_is_committed() {
    let db = with_table().await;
    let client = db.connect().await;
    let mut jobs = Vec::new();
    let ends = [
        End::Commit,
        End::Complete,
        End::RollBack,
        End::Drop,
        End::Fail,
        End::BeginTwice,
        End::WriteTwice,
        End::IgnoreTheError,
    ];
    for (number, end) in ends.into_iter().enumerate() {
        jobs.push((end, enqueue(&client, &named(&number.to_string(), end)).await.unwrap().id));
    }
    let shutdown = Shutdown::new();
    let running = tokio::spawn(writing(&db).run(shutdown.clone()));
    for (end, id) in jobs {
        let fails = [End::Fail, End::WriteTwice, End::IgnoreTheError].contains(&end);
        job_becomes(&client, id, if fails { State::Discarded } else { State::Completed }).await;
    }
    assert_eq!(number(&client, EFFECTS).await, 3);
    shutdown.begin();
    running.await.unwrap().unwrap();
}

/// Writes, and then does not end by itself.
#[derive(Debug, Serialize, Deserialize)]
struct WriteAndHang {}

impl Job for WriteAndHang {
    const KIND: &'static str = "write_and_hang";
    /// Long enough for the write, on any machine.
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(5));
    const MAX_ATTEMPTS: Option<u32> = Some(1);
}

#[tokio::test]
async fn a_lent_transaction_is_rolled_back_and_its_connection_free_after_a_timeout_in_a_statement() {
    let db = with_table().await;
    let client = db.connect().await;
    let log = Log::default();
    let worker = Worker::new(db.another_pool().with_pool_size(1), log.clone())
        .queue("default", 1)
        .handle(|_: WriteAndHang, cx: Context<Log>| async move {
            let tx = cx.begin().await?;
            tx.execute(EFFECT, &[&"slow"]).await?;
            cx.state().say("written");
            tx.batch_execute("SELECT pg_sleep(600)").await?;
            tx.commit().await?;
            Ok(())
        })
        .handle(write);
    let slow = enqueue(&client, &WriteAndHang {}).await.unwrap().id;
    let quick = enqueue(&client, &named("quick", End::Commit)).max_attempts(25).await.unwrap().id;
    let shutdown = Shutdown::new();
    let running = tokio::spawn(worker.run(shutdown.clone()));
    let timed_out = job_becomes(&client, slow, State::Discarded).await;
    assert!(timed_out.error.is_some_and(|error| error.starts_with("timed out")));
    assert_eq!(log.take(), ["written"]);
    job_becomes(&client, quick, State::Completed).await;
    assert_eq!(number(&client, EFFECTS).await, 1);
    shutdown.begin();
    running.await.unwrap().unwrap();
}

/// A thread cannot be stopped: its part of the transaction is open after the attempt has timed out.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_outlasts_its_attempt_undoes_nothing_and_later_ones_are_refused() {
    let db = with_table().await;
    let blocking = Worker::new(db.another_pool(), Log::default())
        .queue("default", 1)
        .blocking_threads(2)
        .handle_blocking(|_: WriteAndHang, cx: Context<Log>| {
            let runtime = tokio::runtime::Handle::current();
            let tx = runtime.block_on(cx.begin())?;
            runtime.block_on(tx.execute(EFFECT, &[&"slow"]))?;
            while !matches!(runtime.block_on(cx.begin()), Err(Error::Stale(_))) {
                std::thread::sleep(Duration::from_millis(5));
            }
            cx.state().say("the attempt is over");
            drop(tx);
            Ok(())
        })
        .handle(write);
    let worker = TestWorker::new(blocking).unwrap();
    let tx = worker.begin().await.unwrap();
    enqueue(&tx, &WriteAndHang {}).await.unwrap();
    enqueue(&tx, &named("quick", End::Commit)).await.unwrap();
    let ran = worker.run_due_in(&tx, Duration::ZERO).await.unwrap();
    assert_eq!(brief(&ran), "1 discarded, 1 completed");
    assert_eq!(worker.state().take(), ["the attempt is over"]);
    assert_eq!(admin::find(&tx, ran[0].job_id).await.unwrap().unwrap().state, State::Discarded);
    assert_eq!(number(&tx, EFFECTS).await, 1);
}

#[tokio::test]
async fn a_committed_job_holds_up_no_two_tests_that_let_time_pass() {
    let db = TestDatabase::new().await;
    enqueue(&db.connect().await, &say("unserved")).queue("unserved").run_in(Duration::from_hours(9)).await.unwrap();
    for _ in 0..2 {
        let (worker, log) = test_worker(db.another_pool());
        let tx = worker.begin().await.unwrap();
        enqueue(&tx, &say("mine")).run_in(Duration::from_hours(1)).await.unwrap();
        worker.run_due_in(&tx, Duration::from_hours(2)).await.unwrap();
        assert_eq!(said(&log), "mine");
        // The first transaction stays open while the second test runs.
        std::mem::forget(tx);
    }
}

#[tokio::test]
async fn two_attempts_at_once_are_refused_in_one_transaction() {
    let db = TestDatabase::new().await;
    let (worker, _) = test_worker(db.database.clone());
    let tx = worker.begin().await.unwrap();
    let refused = worker.run_due_in(&tx, Duration::ZERO).duplicate_delivery().await;
    assert!(matches!(refused, Err(Error::Invalid { field: "duplicate_delivery", .. })), "{refused:?}");
}
