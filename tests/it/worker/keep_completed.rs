//! Kinds and queues of which no completed jobs are kept (CONFORMANCE 43).

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::proxy::Proxy;
use crate::support::rows::{job_becomes, number, number_becomes};
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, TestWorker, task};
use postrider::enqueue::enqueue_job;
use postrider::{Context, Database, Job, JobError, NewJob, Shutdown, State, Worker, enqueue};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_postgres::Client;

const JOBS: &str = "SELECT count(*) FROM postrider.jobs";
const HOUR: Duration = Duration::from_hours(1);

/// A kind of which nothing is kept, and which ends as its test says.
#[derive(Serialize, Deserialize)]
struct Brief {
    ends: String,
}

impl Job for Brief {
    const KIND: &'static str = "brief";
    const KEEP_COMPLETED: Option<bool> = Some(false);
    const MAX_ATTEMPTS: Option<u32> = Some(1);
}

fn brief(ends: &str) -> Brief {
    Brief { ends: ends.to_owned() }
}

async fn run_brief(job: Brief, cx: Context<Starts>) -> Result<u8, JobError> {
    match job.ends.as_str() {
        "ok" => Ok(7),
        "snooze" if cx.attempt() == 1 => Err(JobError::snooze(HOUR)),
        "cancel" => Err(JobError::cancel("as told")),
        "in its transaction" => {
            let mut client = cx.database().client().await?;
            let tx = client.transaction().await?;
            cx.complete_in(&tx).await?;
            tx.commit().await?;
            Ok(7)
        }
        _ => Err(JobError::retry("as told")),
    }
}

fn worker_of(database: &Database) -> TestWorker {
    TestWorker::start(
        database,
        |w| {
            w.queue("default", 10)
                .queue("short", 10)
                .keep_completed("short", false)
                .poll_interval(Duration::from_millis(20))
                .handle(run_brief)
        },
        |_, _| async { Ok(()) },
    )
}

async fn completed(worker: &TestWorker, count: u64) {
    until("they are counted", PATIENCE, || async { (worker.metrics.completed() == count).then_some(()) }).await;
}

async fn in_short<J: Job>(client: &Client, job: &J) -> i64 {
    enqueue_job(client, NewJob::of(job).and_then(|job| job.queue("short")).unwrap()).await.unwrap().id
}

// CONFORMANCE 43
#[tokio::test(flavor = "multi_thread")]
async fn a_kind_or_a_queue_may_keep_no_completed_jobs() {
    #[derive(Serialize, Deserialize)]
    struct Kept {}
    impl Job for Kept {
        const KIND: &'static str = "kept";
        const KEEP_COMPLETED: Option<bool> = Some(true);
    }

    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(
        &db.database,
        |w| {
            w.queue("short", 10)
                .keep_completed("short", false)
                .queue("default", 10)
                .handle(run_brief)
                .handle(|_: Kept, _: Context<Starts>| async { Ok(()) })
        },
        |_, _| async { Ok(()) },
    );
    enqueue(&client, &brief("ok")).await.unwrap();
    in_short(&client, &task("of the queue")).await;
    completed(&worker, 2).await;
    assert_eq!(number(&client, JOBS).await, 0);

    let kept = in_short(&client, &Kept {}).await;
    job_becomes(&client, kept, State::Completed).await;
    let other = enqueue(&client, &task("of another queue")).await.unwrap().id;
    job_becomes(&client, other, State::Completed).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_completed_is_kept_all_the_same() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = worker_of(&db.database);
    for (ends, state) in [
        ("fail", State::Discarded),
        ("cancel", State::Cancelled),
        ("snooze", State::Scheduled),
        ("in its transaction", State::Completed),
    ] {
        let id = enqueue(&client, &brief(ends)).await.unwrap().id;
        job_becomes(&client, id, state).await;
    }
    let metrics = worker.stop_for_metrics().await;
    assert_eq!((metrics.completed(), metrics.discarded(), metrics.stale()), (1, 1, 0));
}

/// A worker that runs a job which is not to be kept, the job, and what ends it.
async fn running(db: &TestDatabase, client: &Client) -> (TestWorker, i64, watch::Sender<bool>) {
    let (end, ends) = watch::channel(false);
    let mut worker = TestWorker::start(
        &db.database,
        |w| w.queue("short", 1).keep_completed("short", false),
        move |_, _| {
            let mut ends = ends.clone();
            async move {
                let _ = ends.wait_for(|end| *end).await;
                Ok(())
            }
        },
    );
    let id = in_short(client, &task("")).await;
    worker.next_start().await;
    (worker, id, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_owns_its_job_no_more_deletes_nothing() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (worker, id, end) = running(&db, &client).await;
    client.execute("UPDATE postrider.job SET claim = claim + 1 WHERE id = $1", &[&id]).await.unwrap();
    end.send(true).unwrap();
    until("it is refused", PATIENCE, || async { (worker.metrics.stale() == 1).then_some(()) }).await;
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job WHERE running").await, 1);
    assert_eq!(worker.metrics.completed(), 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_whose_answer_is_lost_counts_once() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let proxy = Proxy::new(&db).await;
    let worker = worker_of(&Database::from_url(&proxy.url).unwrap());
    // So that the statement is prepared and only its execution remains.
    in_short(&client, &task("warm up")).await;
    completed(&worker, 1).await;
    proxy.swallow_answers("finish");
    in_short(&client, &task("unanswered")).await;
    number_becomes(&client, "SELECT count(*) + 1 FROM postrider.job", 1).await;
    proxy.cut("finish");
    completed(&worker, 2).await;
    assert_eq!(worker.metrics.stale(), 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_worker_dies_before_it_is_deleted_runs_again() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (worker, id, end) = running(&db, &client).await;
    let mut blocker = db.connect().await;
    let lock = blocker.transaction().await.unwrap();
    lock.execute("SELECT FROM postrider.job WHERE id = $1 FOR KEY SHARE", &[&id]).await.unwrap();
    end.send(true).unwrap();
    let deleting = until("the deletion waits", PATIENCE, || async {
        let query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
                     AND application_name = 'postrider finish' AND wait_event_type = 'Lock'";
        client.query_opt(query, &[]).await.unwrap().map(|row| row.get::<_, i32>(0))
    })
    .await;
    worker.kill().await;
    client.execute("SELECT pg_terminate_backend($1)", &[&deleting]).await.unwrap();
    lock.rollback().await.unwrap();
    let mut heir = worker_of(&db.database);
    assert_eq!(heir.next_start().await.attempt, 2);
    completed(&heir, 1).await;
    assert_eq!(number(&client, JOBS).await, 0);
    heir.stop().await;
}

#[tokio::test]
async fn a_queue_that_is_not_served_is_a_mistake() {
    let db = TestDatabase::new().await;
    let worker = Worker::new(db.database.clone(), ())
        .keep_completed("later", false)
        .queue("later", 1)
        .handle(|_: Brief, _: Context<()>| async { Ok(()) });
    let error = worker.run(Shutdown::new()).await.unwrap_err();
    assert!(error.to_string().contains("keep_completed is set for \"later\", a queue that is not served"), "{error}");
}
