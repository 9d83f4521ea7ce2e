//! Claims that time out, are killed, or are never answered (CONFORMANCE 13, 36).

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::pooler::Pooler;
use crate::support::proxy::Proxy;
use crate::support::rows::{job_becomes, number, number_becomes, workers_listen};
use crate::support::wait::{PATIENCE, until, within};
use crate::support::worker::{Starts, Task, TestWorker, task, tasks};
use postrider::{Context, Database, JobError, State, enqueue, enqueue_many};
use tokio_postgres::Client;

const NEVER: Duration = Duration::from_hours(1);

async fn ok(_: Task, _: Context<Starts>) -> Result<(), JobError> {
    Ok(())
}

/// Waits until a claim of the worker waits for a lock, and will for a second or more. Returns its backend.
async fn blocked_claim(client: &Client, but: i32) -> i32 {
    until("a claim is blocked", PATIENCE, || async {
        let query = "SELECT pid FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name = 'postrider claim'
                       AND wait_event_type = 'Lock' AND pid <> $1
                       AND query_start > clock_timestamp() - interval '500 ms'";
        client.query_opt(query, &[&but]).await.unwrap().map(|row| row.get(0))
    })
    .await
}

// CONFORMANCE 13
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_times_out_or_is_killed_does_not_wedge_the_loop() {
    let db = TestDatabase::new().await;
    let looking = db.connect().await;
    let mut worker =
        TestWorker::start(&db.database, |w| w.queue("default", 2).poll_interval(Duration::from_millis(100)), ok);
    workers_listen(&looking, 1).await;
    let mut holder = db.connect().await;
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE postrider.job IN ACCESS EXCLUSIVE MODE").await.unwrap();
    enqueue(&lock, &task("locked in")).await.unwrap();
    let first = blocked_claim(&looking, 0).await;
    // The first claim times out, the second is killed, and the third passes.
    let second = blocked_claim(&looking, first).await;
    looking.execute("SELECT pg_terminate_backend($1)", &[&second]).await.unwrap();
    blocked_claim(&looking, second).await;
    lock.commit().await.unwrap();
    let started = worker.next_start().await;
    assert_eq!((started.name.as_str(), started.attempt), ("locked in", 1));
    number_becomes(&looking, "SELECT count(*) FROM postrider.job", 0).await;
    worker.stop().await;
}

/// An idle worker behind the proxy whose next claim will never be answered.
async fn deafened(db: &TestDatabase, proxy: &Proxy, concurrency: usize) -> TestWorker {
    let database = Database::from_url(&proxy.url).unwrap();
    let mut worker = TestWorker::start(
        &database,
        |w| w.queue("default", concurrency).poll_interval(NEVER),
        |task, _| async move { if task.name == "hangs" { std::future::pending().await } else { Ok(()) } },
    );
    let client = db.connect().await;
    let id = enqueue(&client, &task("warm up")).await.unwrap().id;
    worker.next_start().await;
    job_becomes(&client, id, State::Completed).await;
    workers_listen(&client, number(&client, "SELECT count(*) FROM postrider.worker").await).await;
    // The claims that follow a claim have been answered, too, once the queue is known to be empty.
    until("the claim connection is idle", PATIENCE, || async {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                       AND application_name = 'postrider claim' AND state = 'idle'
                       AND state_change < clock_timestamp() - interval '100 ms'";
        let all = "SELECT count(*) FROM postrider.worker";
        (number(&client, query).await == number(&client, all).await).then_some(())
    })
    .await;
    proxy.swallow_answers("claim");
    worker
}

// CONFORMANCE 13
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_is_lost_leaves_no_job_running() {
    let db = TestDatabase::new().await;
    let proxy = Proxy::new(&db).await;
    let mut worker = deafened(&db, &proxy, 5).await;
    let client = db.connect().await;
    enqueue_many(&client, &tasks(5)).await.unwrap();
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running", 5).await;
    // The jobs are seen before their answer has reached the proxy.
    until("the answer is swallowed", PATIENCE, || async { (proxy.swallowed() > 0).then_some(()) }).await;
    assert!(worker.starts.try_recv().is_err());
    proxy.cut("claim");
    for _ in 0..5 {
        assert_eq!(worker.next_start().await.attempt, 1, "the attempt that never started is not counted");
    }
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    worker.stop().await;
}

// CONFORMANCE 13: the neighbour, a pooler that answers in place of its server
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_a_pooler_has_lost_leaves_no_job_running() {
    let db = TestDatabase::new().await;
    let proxy = Proxy::new(&db).await;
    let pooler = Pooler::before(&proxy.url, 5).await;
    let database = Database::from_url(&pooler.url).unwrap();
    let quickly = Duration::from_millis(100);
    let mut worker = TestWorker::start(&database, |w| w.queue("default", 5).poll_interval(quickly), ok);
    let client = db.connect().await;
    let warm_up = enqueue(&client, &task("warm up")).await.unwrap().id;
    worker.next_start().await;
    job_becomes(&client, warm_up, State::Completed).await;

    // The claim reaches the server before answers are swallowed: later, the pooler may need a new connection for it, and
    // that never opens.
    let mut holder = db.connect().await;
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE postrider.job IN ACCESS EXCLUSIVE MODE").await.unwrap();
    enqueue(&lock, &task("unheard")).await.unwrap();
    blocked_claim(&client, 0).await;
    proxy.swallow_all_answers();
    lock.commit().await.unwrap();
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running", 1).await;
    proxy.cut_all();
    let started = within("the job starts all the same", PATIENCE, worker.next_start()).await;
    assert_eq!((started.name.as_str(), started.attempt), ("unheard", 1));
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    worker.stop().await;
}

// CONFORMANCE 13, 28: the neighbour, a connection that is dead without notice
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_connection_that_falls_silent_is_given_up() {
    let db = TestDatabase::new().await;
    let proxy = Proxy::new(&db).await;
    let mut worker = deafened(&db, &proxy, 1).await;
    let client = db.connect().await;
    enqueue(&client, &task("unheard")).await.unwrap();
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running", 1).await;
    // Seven seconds of silence, which is the fetcher's limit.
    let started = within("the job starts all the same", 2 * PATIENCE, worker.starts.recv()).await.unwrap();
    assert_eq!(started.attempt, 1);
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    worker.stop().await;
}

// CONFORMANCE 13, 36
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_after_a_lost_answer_leaves_no_job_running() {
    let db = TestDatabase::new().await;
    let proxy = Proxy::new(&db).await;
    let client = db.connect().await;
    // Another worker, which has already looked for stranded jobs and will not again for long.
    let stranded = enqueue(&client, &task("stranded")).queue("unserved").await.unwrap().id;
    client.execute("UPDATE postrider.job SET running = true, attempted_by = gen_random_uuid()", &[]).await.unwrap();
    let other = TestWorker::start(&db.another_pool(), |w| w.queue("other", 1), ok);
    job_becomes(&client, stranded, State::Retryable).await;
    let worker = deafened(&db, &proxy, 1).await;
    enqueue(&client, &task("unheard")).await.unwrap();
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running", 1).await;
    worker.shutdown.begin();
    proxy.cut("claim");
    worker.stop().await;
    // By the worker itself, or by another that finds it gone.
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running", 0).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.worker", 1).await;
    other.stop().await;
}
