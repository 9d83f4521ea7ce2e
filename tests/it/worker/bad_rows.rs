//! Rows that are locked or edited by hand: they affect no other job.

use std::sync::Arc;
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::rows::{job, job_becomes, number_becomes, running, workers_listen};
use crate::support::worker::{Starts, TestWorker, task, tasks};
use postrider::{Context, JobId, State, enqueue, enqueue_many};
use tokio::sync::Semaphore;

const NEVER: Duration = Duration::from_hours(1);

// CONFORMANCE 24: the neighbour, a running job whose row is locked
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_job_holds_up_its_own_outcome_and_no_other() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    let opener = Arc::clone(&gate);
    let mut worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 50),
        move |_, _: Context<Starts>| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await?.forget();
                Ok(())
            }
        },
    );
    let locked = enqueue(&client, &task("locked")).await.unwrap().id;
    enqueue_many(&client, &tasks(20)).await.unwrap();
    for _ in 0..=20 {
        worker.next_start().await;
    }
    let mut other = db.connect().await;
    let lock = other.transaction().await.unwrap();
    lock.execute("SELECT FROM postrider.job WHERE id = $1 FOR UPDATE", &[&locked]).await.unwrap();
    opener.add_permits(1_000);
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE state = 'completed'", 20).await;
    let later = enqueue(&client, &task("later")).await.unwrap().id;
    job_becomes(&client, later, State::Completed).await;
    assert_eq!(job(&client, locked).await.state, State::Running);
    lock.rollback().await.unwrap();
    job_becomes(&client, locked, State::Completed).await;
    assert_eq!(worker.stop().await.abandoned, 0);
}

// CONFORMANCE 25: the neighbour, a job of the dead worker whose row is locked
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_job_of_a_dead_worker_holds_up_no_other() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut dying = TestWorker::start(&db.database, |w| w.queue("default", 10), |_, _| std::future::pending());
    let locked = enqueue(&client, &task("locked")).await.unwrap().id;
    let free = enqueue(&client, &task("free")).await.unwrap().id;
    dying.next_start().await;
    dying.next_start().await;
    let mut other = db.connect().await;
    let lock = other.transaction().await.unwrap();
    lock.execute("SELECT FROM postrider.job WHERE id = $1 FOR UPDATE", &[&locked]).await.unwrap();
    let worker = TestWorker::start(&db.database, |w| w.queue("default", 10), |_, _| async { Ok(()) });
    dying.kill().await;
    job_becomes(&client, free, State::Completed).await;
    assert_eq!(job(&client, locked).await.state, State::Running);
    lock.rollback().await.unwrap();
    job_becomes(&client, locked, State::Completed).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_edited_into_nonsense_hold_up_no_other() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let nonsense = [
        "attempt = 32767",
        "attempt = -32768",
        "claim = 2147483647",
        "claim = -2147483648",
        "crash_count = 32767, solo_crash_count = 32767, failed_at = 'infinity'",
        "crash_count = -32768, solo_crash_count = -32768, failed_at = '-infinity'",
        "created_at = 'infinity', attempted_at = '-infinity'",
        "created_at = '290000-01-01Z'",
        "kind = '', queue = ''",
        "kind = 'unheard of'",
        "args = 'null'",
        "args = '[1, \"\\\\u0001\"]'",
        "errors = '[1, null, {\"error\": 5}, [[]]]'",
        "errors = '[]'",
        "attempted_by = '00000000-0000-0000-0000-000000000000'",
        "running = true, attempted_by = NULL",
        "running = true, attempted_by = '00000000-0000-0000-0000-000000000000'",
        "running = true, attempt = 32767",
        "cancel_requested_at = 'infinity'",
        "run_at = '1970-01-01Z'",
        "max_attempts = 1, attempt = 7",
    ];
    for edit in nonsense {
        let id = enqueue(&client, &task("edited")).await.unwrap().id;
        client.execute(&format!("UPDATE postrider.job SET {edit} WHERE id = $1"), &[&id]).await.expect(edit);
    }
    enqueue_many(&client, &tasks(20)).await.unwrap();
    let set = |w: postrider::Worker<Starts>| w.queue("default", 10).retry_policy(|_| NEVER);
    let worker = TestWorker::start(&db.database, set, |_, _| async { Ok(()) });
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE args ->> 'name' <> 'edited'", 20).await;
    // What makes sense of them has run, too; none is left running.
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE run_at <= now() AND kind = 'task'", 0).await;
    assert_eq!(running(&client).await, 0);
    // And all of them can be listed.
    let all = postrider::admin::list(&client, &postrider::admin::ListFilter::default()).await;
    all.expect("a list");
    worker.stop().await;
}

/// A job that its dead worker ran for the last time, and one that has attempts left.
async fn left_by_a_dead_worker(db: &TestDatabase, client: &tokio_postgres::Client) -> (JobId, JobId) {
    let mut dying = TestWorker::start(&db.database, |w| w.queue("default", 10), |_, _| std::future::pending());
    let spent = enqueue(client, &task("spent")).max_attempts(1).await.unwrap().id;
    let other = enqueue(client, &task("other")).await.unwrap().id;
    dying.next_start().await;
    dying.next_start().await;
    dying.kill().await;
    (spent, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_dead_worker_that_the_history_refuses_holds_up_no_other() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (spent, other) = left_by_a_dead_worker(&db, &client).await;
    let refuse = "ALTER TABLE postrider.job_history ADD CONSTRAINT refuse CHECK (args ->> 'name' <> 'spent') NOT VALID";
    client.batch_execute(refuse).await.unwrap();
    let worker = TestWorker::start(&db.database, |w| w.queue("default", 10), |_, _| async { Ok(()) });
    job_becomes(&client, other, State::Completed).await;
    client.batch_execute("ALTER TABLE postrider.job_history DROP CONSTRAINT refuse").await.unwrap();
    job_becomes(&client, spent, State::Completed).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_retention_edited_into_nonsense_hinders_no_cancel() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.database, |w| w.queue("default", 1), |_, _| async { Ok(()) });
    workers_listen(&client, 1).await;
    for seconds in ["9223372036854775807", "-1"] {
        client.batch_execute(&format!("UPDATE postrider.worker SET cancelled_seconds = {seconds}")).await.unwrap();
        let id = enqueue(&client, &task("later")).run_in(NEVER).await.unwrap().id;
        assert_eq!(postrider::admin::cancel(&client, id).await.expect(seconds).state, State::Cancelled);
    }
    worker.stop().await;
}
