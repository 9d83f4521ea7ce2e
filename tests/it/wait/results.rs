//! What a wait returns.

use std::time::Duration;

use postrider::{Args, Context, Error, Job, JobError, NewJob, Schema, Shutdown, State, Waiter, Worker, admin, enqueue};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::support::database::TestDatabase;
use crate::support::rows::{number, number_becomes, terminate_backends, workers_listen};
use crate::support::wait::{PATIENCE, until, within};

#[derive(Serialize, Deserialize)]
struct Double {
    number: i64,
}

impl Job for Double {
    const KIND: &'static str = "double";
    const MAX_ATTEMPTS: Option<u32> = Some(1);
}

/// Not kept once it is completed.
#[derive(Serialize, Deserialize)]
struct Forgotten {}

impl Job for Forgotten {
    const KIND: &'static str = "forgotten";
    const KEEP_COMPLETED: Option<bool> = Some(false);
}

/// A worker that doubles numbers; a negative one it refuses.
struct Doubler {
    shutdown: Shutdown,
    running: JoinHandle<Result<postrider::worker::Summary, Error>>,
}

impl Doubler {
    async fn start(db: &TestDatabase) -> Self {
        let shutdown = Shutdown::new();
        let worker = Worker::new(db.database.clone(), ())
            .queue("default", 100)
            .handle(|job: Double, _: Context<()>| async move {
                if job.number < 0 { Err(JobError::discard("negative")) } else { Ok(2 * job.number) }
            })
            .handle(|_: Forgotten, _: Context<()>| async { Ok(()) });
        let running = tokio::spawn(worker.run(shutdown.clone()));
        workers_listen(&db.connect().await, 1).await;
        Self { shutdown, running }
    }

    async fn stop(self) {
        self.shutdown.begin();
        within("the worker stops", PATIENCE, self.running).await.expect("no panic").expect("no error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_returns_the_job_with_the_value_of_its_handler() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = Doubler::start(&db).await;
    let waiter = Waiter::new(&db.database);
    for (number, is_awaited) in [(1, true), (2, false), (3, true), (4, false)] {
        let job = Double { number };
        let enqueued = enqueue(&client, &job);
        let enqueued = if is_awaited { enqueued.awaited() } else { enqueued }.await.unwrap();
        let done = waiter.wait(enqueued.id, PATIENCE).await.unwrap().expect("it ends");
        assert_eq!((done.id, done.state), (enqueued.id, State::Completed));
        assert_eq!(done.output_as::<i64>().unwrap(), Some(2 * number));
        // A second wait finds it in the history, at once.
        let again = waiter.wait(enqueued.id, Duration::from_secs(1)).await.unwrap().expect("it has ended");
        assert_eq!(again.finished_at, done.finished_at);
    }
    let refused = enqueue(&client, &Double { number: -1 }).awaited().await.unwrap();
    let done = waiter.wait(refused.id, PATIENCE).await.unwrap().expect("it ends");
    assert_eq!((done.state, done.error.as_deref()), (State::Discarded, Some("negative")));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_at_its_timeout_or_when_there_is_no_such_job() {
    let db = TestDatabase::new().await;
    let mut client = db.connect().await;
    let waiter = Waiter::new(&db.database);
    let unfinished = enqueue(&client, &Double { number: 1 }).await.unwrap();
    assert!(waiter.wait(unfinished.id, Duration::from_millis(50)).await.unwrap().is_none());
    assert!(waiter.wait(unfinished.id, Duration::ZERO).await.unwrap().is_none());
    let unknown = waiter.wait(i64::MAX, PATIENCE).await;
    assert!(matches!(unknown, Err(Error::NotFound(i64::MAX))), "{unknown:?}");

    // Invisible before its commit.
    let tx = client.transaction().await.unwrap();
    let invisible = enqueue(&tx, &Double { number: 2 }).awaited().await.unwrap();
    let early = waiter.wait(invisible.id, PATIENCE).await;
    assert!(matches!(early, Err(Error::NotFound(id)) if id == invisible.id), "{early:?}");
    tx.commit().await.unwrap();

    // No history is kept of it.
    let worker = Doubler::start(&db).await;
    let forgotten = enqueue(&client, &Forgotten {}).awaited().await.unwrap();
    let gone = waiter.wait(forgotten.id, PATIENCE).await;
    assert!(matches!(gone, Err(Error::NotFound(id)) if id == forgotten.id), "{gone:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_or_retried_by_hand_ends_the_wait_once_it_is_finished() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let waiter = Waiter::new(&db.database);
    let id = enqueue(&client, &Double { number: 1 }).run_in(Duration::from_hours(1)).await.unwrap().id;
    let (waiting, other) = (waiter.clone(), waiter.clone());
    let cancelled = tokio::spawn(async move { waiting.wait(id, PATIENCE).await });
    let also = tokio::spawn(async move { other.wait(id, PATIENCE).await });
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE awaited", 1).await;
    admin::cancel(&client, id).await.unwrap();
    for wait in [cancelled, also] {
        let done = within("the wait ends", PATIENCE, wait).await.unwrap().unwrap().expect("it ends");
        assert_eq!(done.state, State::Cancelled);
    }
    // Retried, it is a job as before: a wait marks it anew.
    admin::retry(&client, id).await.unwrap();
    assert!(waiter.wait(id, Duration::from_millis(20)).await.unwrap().is_none());
    let worker = Doubler::start(&db).await;
    assert_eq!(waiter.wait(id, PATIENCE).await.unwrap().expect("it ends").state, State::Completed);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_are_those_of_their_schema() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let billing = Schema::new("billing").unwrap();
    let database = db.database.clone().in_schema(billing.clone());
    database.migrate(postrider::schema::MigrationSet::Queue).await.unwrap();
    let job = NewJob::new("k", Args::default()).unwrap();
    let id = postrider::enqueue::enqueue_job(billing.on(&client), job).awaited().await.unwrap().id;
    let unknown = Waiter::new(&db.database).wait(id, PATIENCE).await;
    assert!(matches!(unknown, Err(Error::NotFound(_))), "{unknown:?}");
    let waiter = Waiter::new(&database);
    let wait = tokio::spawn(async move { waiter.wait(id, PATIENCE).await });
    number_becomes(
        &client,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%wait%' AND datname = current_database()",
        1,
    )
    .await;
    admin::cancel(&billing.on(&client), id).await.unwrap();
    assert_eq!(wait.await.unwrap().unwrap().expect("it ends").state, State::Cancelled);
}

/// Those that waited for a notification which was lost ask for their jobs, all in one statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_waits_end_though_their_listener_is_killed() {
    const WAITS: i64 = 1_000;
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let waiter = Waiter::new(&db.database);
    let jobs = vec![NewJob::of(&Double { number: 21 }).unwrap(); 1_000];
    let ids = crate::support::jobs::ids_of(postrider::enqueue_many(&client, &jobs).await.unwrap());
    let waits: Vec<_> = ids
        .iter()
        .map(|id| {
            let (waiter, id) = (waiter.clone(), *id);
            tokio::spawn(async move { waiter.wait(id, 2 * PATIENCE).await })
        })
        .collect();
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE awaited", WAITS).await;
    let listeners = "SELECT count(*) FROM pg_stat_activity
                     WHERE application_name LIKE '%wait%' AND datname = current_database()";
    number_becomes(&client, listeners, 1).await;
    let worker = Doubler::start(&db).await;
    // Again and again, until all are done.
    until("all jobs are done", PATIENCE, || async {
        terminate_backends(&client, "%wait%").await;
        (number(&client, "SELECT count(*) FROM postrider.job").await == 0).then_some(())
    })
    .await;
    for wait in waits {
        let done = within("the wait ends", PATIENCE, wait).await.unwrap().unwrap().expect("it ends");
        assert_eq!(done.output_as::<i64>().unwrap(), Some(42));
    }
    worker.stop().await;
    // The last clone closes the connection.
    drop(waiter);
    number_becomes(&client, listeners, 0).await;
}
