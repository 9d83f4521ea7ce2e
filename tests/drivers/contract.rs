//! What every driver must do, and the cases that show it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context as PollContext, Poll};
use std::time::Duration;

use postrider::{Context, EnqueueOutcome, Enqueued, Error, JobError, NewJob, Schema, State, enqueue_many};
use serde_json::Value;

use crate::support::database::TestDatabase;
use crate::support::pooler::Pooler;
use crate::support::rows::{job, job_becomes, number, number_becomes, workers_listen};
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, TestWorker, task};

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Commit,
    Rollback,
}

/// A connection of one driver.
pub trait Driver: Sized + Send + 'static {
    fn connect(url: &str) -> impl Future<Output = Self> + Send;

    /// Through a transaction pooler that knows no prepared statements. None if the driver cannot use one.
    fn connect_pooled(url: &str) -> impl Future<Output = Option<Self>> + Send {
        async { Some(Self::connect(url).await) }
    }

    /// In one transaction: an effect, then each of `jobs` by itself, then all of them at once. In `schema`, if any.
    fn transact(
        &mut self,
        jobs: &[NewJob],
        schema: Option<&Schema>,
        end: End,
    ) -> impl Future<Output = Result<Vec<Enqueued>, Error>> + Send;

    /// One job without a transaction.
    fn alone(&mut self, job: NewJob) -> impl Future<Output = Result<Enqueued, Error>> + Send;

    /// In one transaction: an effect, and the completion of the job, with an output.
    fn complete(&mut self, cx: &Context<Starts>, end: End) -> impl Future<Output = Result<(), Error>> + Send;

    /// Whether the error has the driver's own as its source.
    fn is_own(error: &Error) -> bool;
}

pub const EFFECT: &str = "INSERT INTO public.effect VALUES (1)";
const EFFECTS: &str = "SELECT count(*) FROM public.effect";
pub const OUTPUT: &str = "done";

async fn database() -> (TestDatabase, ::tokio_postgres::Client) {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    client.batch_execute("CREATE TABLE public.effect (n integer)").await.unwrap();
    (db, client)
}

fn named(name: &str) -> NewJob {
    NewJob::of(&task(name)).unwrap()
}

/// All columns of the jobs, without those that differ for each job.
async fn rows(client: &::tokio_postgres::Client, schema: &str) -> Vec<Value> {
    let query = format!(
        "SELECT to_jsonb(j) - 'id' - 'created_at' - 'claim' - 'run_at'
                || jsonb_build_object('due_in', extract(epoch FROM run_at - created_at)) AS row
         FROM {schema}.job AS j ORDER BY id"
    );
    client.query(&query, &[]).await.unwrap().iter().map(|row| row.get("row")).collect()
}

/// Jobs with every option, of one kind of due time each.
fn with_every_option() -> Vec<NewJob> {
    let full = named("\"ü\" \u{1F980}").queue("mail").unwrap().priority(postrider::Priority::Low);
    let full = full.max_attempts(7).unwrap();
    vec![full.clone(), full.clone().run_in(Duration::from_micros(90_500_001)).unwrap(), full]
}

pub async fn a_commit_adds_the_same_rows_as_tokio_postgres<D: Driver>() {
    let (db, client) = database().await;
    let mut driver = D::connect(&db.url).await;
    let jobs = with_every_option();
    let enqueued = driver.transact(&jobs, None, End::Commit).await.unwrap();
    assert_eq!(enqueued.len(), 2 * jobs.len());
    assert!(enqueued.iter().all(Enqueued::is_inserted));
    let stored = number(&client, "SELECT count(*) FROM postrider.job WHERE run_at >= created_at").await;
    assert_eq!((stored, number(&client, EFFECTS).await), (6, 1));
    for place in 0..jobs.len() {
        let args = job(&client, enqueued[place].id).await.args;
        assert_eq!(args.get(), job(&client, enqueued[jobs.len() + place].id).await.args.get());
    }

    let of_driver = rows(&client, "postrider").await;
    client.batch_execute("TRUNCATE postrider.job").await.unwrap();
    for one in &jobs {
        postrider::enqueue::enqueue_job(&client, one.clone()).await.unwrap();
    }
    enqueue_many(&client, &jobs).await.unwrap();
    assert_eq!(of_driver, rows(&client, "postrider").await);

    // An absolute time, to the microsecond.
    let time = chrono::DateTime::parse_from_rfc3339("2031-02-03T04:05:06.789012Z").unwrap().to_utc();
    let id = driver.alone(named("later").run_at(time).unwrap()).await.unwrap().id;
    assert_eq!(job(&client, id).await.run_at, time);
}

pub async fn a_rollback_leaves_nothing<D: Driver>() {
    let (db, client) = database().await;
    let mut driver = D::connect(&db.url).await;
    assert_eq!(driver.transact(&[named("a")], None, End::Rollback).await.unwrap().len(), 2);
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job").await, 0);
    assert_eq!(number(&client, EFFECTS).await, 0);
    // The connection still serves.
    assert!(driver.alone(named("b")).await.unwrap().is_inserted());
}

pub async fn an_existing_job_is_told<D: Driver>() {
    let (db, _client) = database().await;
    let mut driver = D::connect(&db.url).await;
    let keyed = named("once").unique_key("k").unwrap();
    let first = driver.alone(keyed.clone()).await.unwrap();
    let existing = Enqueued { id: first.id, outcome: EnqueueOutcome::Existing };
    assert!(first.is_inserted());
    let again = driver.transact(&[keyed, named("free")], None, End::Commit).await.unwrap();
    assert_eq!((again[0], again[2]), (existing, existing));
    assert!(again[1].is_inserted() && again[3].is_inserted());
}

pub async fn another_schema_is_used<D: Driver>() {
    let (db, client) = database().await;
    let billing = Schema::new("billing").unwrap();
    db.database.clone().in_schema(billing.clone()).migrate(postrider::schema::MigrationSet::Queue).await.unwrap();
    let mut driver = D::connect(&db.url).await;
    driver.transact(&[named("invoice")], Some(&billing), End::Commit).await.unwrap();
    assert_eq!(rows(&client, "billing").await.len(), 2);
    assert_eq!(rows(&client, "postrider").await.len(), 0);
}

pub async fn an_error_keeps_that_of_the_driver<D: Driver>() {
    let (db, client) = database().await;
    client.batch_execute("ALTER TABLE postrider.job ADD CONSTRAINT none CHECK (kind <> 'task')").await.unwrap();
    let error = D::connect(&db.url).await.alone(named("refused")).await.unwrap_err();
    assert!(D::is_own(&error), "{error:?}");
    assert_eq!(error.sqlstate(), Some("23514"), "{error:?}");
    assert!(!error.is_transient(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("violates check constraint \"none\"") && !text.contains('\n'), "{text}");
    // Before any SQL is sent.
    let error = D::connect(&db.url).await.transact(&[], None, End::Commit).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { field: "jobs", .. }), "{error}");
}

pub async fn a_job_wakes_an_idle_worker_when_its_transaction_commits<D: Driver>() {
    let (db, client) = database().await;
    // It would not poll before the test is over.
    let set = |worker: postrider::Worker<Starts>| worker.queue("default", 10).poll_interval(Duration::from_mins(50));
    let mut worker = TestWorker::start(&db.database, set, |_, _| async { Ok(()) });
    workers_listen(&client, 1).await;
    let mut driver = D::connect(&db.url).await;
    let enqueued = driver.transact(&[named("wake")], None, End::Commit).await.unwrap();
    let mut started = vec![worker.next_start().await.job_id, worker.next_start().await.job_id];
    started.sort_unstable();
    assert_eq!(started, enqueued.iter().map(|job| job.id).collect::<Vec<_>>());
    worker.stop().await;
}

pub async fn the_effect_and_the_completion_commit_together<D: Driver>() {
    let (db, client) = database().await;
    let url = db.url.clone();
    let set = |worker: postrider::Worker<Starts>| worker.queue("default", 10).retry_policy(|_| Duration::ZERO);
    let worker = TestWorker::start(&db.database, set, move |_, cx| {
        let url = url.clone();
        async move {
            let end = if cx.attempt() == 1 { End::Rollback } else { End::Commit };
            D::connect(&url).await.complete(&cx, end).await.map_err(JobError::retry)
        }
    });
    let id = postrider::enqueue(&client, &task("pay")).await.unwrap().id;
    let done = job_becomes(&client, id, State::Completed).await;
    // The first attempt said that it had completed, but rolled back.
    assert_eq!((done.attempt, done.attempt_errors().len()), (2, 1));
    assert_eq!(serde_json::to_value(&done).unwrap()["output"], OUTPUT);
    assert_eq!(number(&client, EFFECTS).await, 1);
    worker.stop().await;
}

pub async fn a_stale_attempt_is_told_and_changes_nothing<D: Driver>() {
    let (db, client) = database().await;
    let url = db.url.clone();
    let (told, mut errors) = tokio::sync::mpsc::unbounded_channel();
    let worker = TestWorker::start(
        &db.database,
        |worker| worker.queue("default", 10),
        move |_, cx| {
            let (url, told) = (url.clone(), told.clone());
            async move {
                // As a rescue does: the job belongs to another attempt.
                let client = cx.database().client().await?;
                client.execute("UPDATE postrider.job SET claim = claim + 1 WHERE id = $1", &[&cx.job_id()]).await?;
                let _ = told.send(D::connect(&url).await.complete(&cx, End::Commit).await);
                Ok(())
            }
        },
    );
    let id = postrider::enqueue(&client, &task("stale")).await.unwrap().id;
    let answer = crate::support::wait::within("the handler is told", PATIENCE, errors.recv()).await.unwrap();
    assert!(matches!(answer, Err(Error::Stale(stale)) if stale == id), "{answer:?}");
    assert_eq!(number(&client, EFFECTS).await, 0);
    assert_eq!(job(&client, id).await.state, State::Running);
    worker.abort();
}

/// For drivers whose type of connection does not say whether a transaction is open.
pub async fn a_completion_outside_of_a_transaction_is_refused<F, Fut>(complete: F)
where
    F: Fn(String, Context<Starts>) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (db, client) = database().await;
    let url = db.url.clone();
    let set = |worker: postrider::Worker<Starts>| worker.queue("default", 10).retry_policy(|_| Duration::ZERO);
    let worker = TestWorker::start(&db.database, set, move |_, cx| {
        let completing = (cx.attempt() == 1).then(|| complete(url.clone(), cx));
        async move {
            if let Some(completing) = completing {
                completing.await.map_err(JobError::retry)?;
            }
            Ok(())
        }
    });
    let id = postrider::enqueue(&client, &task("outside")).await.unwrap().id;
    let done = job_becomes(&client, id, State::Completed).await;
    assert_eq!(done.attempt, 2);
    let error = &done.attempt_errors()[0].error;
    assert!(error.contains("tx is not in a transaction"), "{error}");
    worker.stop().await;
}

/// Polls the future this often, each time when it is woken. Returns its answer if it is ready by then.
async fn polled<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx: &mut PollContext<'_>| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            // Not again before it is woken.
            Poll::Pending if left > 0 => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        }
    })
    .await
}

pub async fn a_future_may_be_dropped_at_every_await<D: Driver>() {
    let (db, client) = database().await;
    let mut completed = 0;
    for polls in 1..200 {
        let mut driver = D::connect(&db.url).await;
        let answer = polled(driver.transact(&[named("dropped")], None, End::Commit), polls).await;
        let is_complete = answer.is_some();
        if let Some(answer) = answer {
            answer.unwrap();
            completed += 1;
        }
        drop(driver);
        // Both or neither: 2 jobs and 1 effect. Its session may still end: until then it may hold locks.
        let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'
                     AND pid <> pg_backend_pid()";
        number_becomes(&client, query, 0).await;
        let jobs = number(&client, "SELECT count(*) FROM postrider.job").await;
        assert_eq!(jobs, 2 * number(&client, EFFECTS).await, "after {polls} polls");
        if is_complete && completed > 2 {
            return;
        }
    }
    panic!("not complete after 200 polls");
}

pub async fn it_works_through_a_transaction_pooler<D: Driver>() {
    let (db, client) = database().await;
    let pooler = Pooler::start(&db, 2).await;
    let mut drivers = Vec::new();
    for _ in 0..4 {
        let Some(driver) = D::connect_pooled(&pooler.url).await else { return };
        drivers.push(driver);
    }
    // In turns, so that each meets sessions that another has used.
    for _ in 0..3 {
        for driver in &mut drivers {
            driver.transact(&[named("pooled")], None, End::Commit).await.unwrap();
            driver.transact(&[named("pooled")], None, End::Rollback).await.unwrap();
        }
    }
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job").await, 24);
    assert_eq!(number(&client, EFFECTS).await, 12);
    until("no transaction is left open", PATIENCE, || async {
        let query =
            "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()";
        (number(&client, query).await == 0).then_some(())
    })
    .await;
}

/// The tests of one driver.
macro_rules! tests {
    ($driver:ty) => {
        crate::contract::tests!($driver:
            a_commit_adds_the_same_rows_as_tokio_postgres,
            a_rollback_leaves_nothing,
            an_existing_job_is_told,
            another_schema_is_used,
            an_error_keeps_that_of_the_driver,
            a_job_wakes_an_idle_worker_when_its_transaction_commits,
            the_effect_and_the_completion_commit_together,
            a_stale_attempt_is_told_and_changes_nothing,
            a_future_may_be_dropped_at_every_await,
            it_works_through_a_transaction_pooler,
        );
    };
    ($driver:ty: $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                crate::contract::$case::<$driver>().await;
            }
        )*
    };
}
pub(crate) use tests;
