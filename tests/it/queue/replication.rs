//! Beside what replicates and what commits in two phases.

use std::time::Duration;

use crate::support::cluster::{Cluster, OPEN};
use crate::support::database::TestDatabase;
use crate::support::rows::{job, job_becomes, number_becomes};
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, TestWorker, task};
use postrider::{JobError, State, Worker, admin, enqueue};

fn set(worker: Worker<Starts>) -> Worker<Starts> {
    worker.queue("default", 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_of_all_tables_hinders_nothing() {
    let cluster = Cluster::start(OPEN, &["wal_level = logical"]);
    let db = TestDatabase::in_cluster(&cluster).await;
    let client = db.connect().await;
    client.batch_execute("CREATE PUBLICATION everything FOR ALL TABLES").await.unwrap();
    let worker = TestWorker::start(&db.database, set, |task, cx| async move {
        if task.name == "bad" && cx.job_id() > 0 { Err(JobError::discard("bad")) } else { Ok(()) }
    });
    let good = enqueue(&client, &task("good")).await.unwrap().id;
    job_becomes(&client, good, State::Completed).await;
    let bad = enqueue(&client, &task("bad")).await.unwrap().id;
    let first = job_becomes(&client, bad, State::Discarded).await;
    // It leaves the history for that.
    admin::retry(&client, bad).await.unwrap();
    until("it is discarded again", PATIENCE, async || {
        (job(&client, bad).await.finished_at > first.finished_at).then_some(())
    })
    .await;
    // A partition that is made later, too.
    client
        .batch_execute("SELECT postrider.make_history_partition((now() AT TIME ZONE 'UTC')::date + 30)")
        .await
        .unwrap();
    let unidentified = "pg_class WHERE relname ~ '^job_history_[0-9]{8}$' AND relkind = 'r' AND relreplident <> 'f'";
    assert_eq!(db.count(unidentified).await, 0);
    admin::pause(&client, "other").await.unwrap();
    admin::resume(&client, "other").await.unwrap();
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_adds_jobs_with_notifications_off() {
    let cluster = Cluster::start(OPEN, &["max_prepared_transactions = 5"]);
    let db = TestDatabase::in_cluster(&cluster).await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.database, set, |_, _| async { Ok(()) });
    // From now on an enqueue notifies.
    let idle = "SELECT count(*) FROM pg_locks WHERE classid = (hashtext('postrider')::bigint & 4294967295)::oid AND mode = 'ExclusiveLock' AND granted";
    number_becomes(&client, idle, 1).await;
    let add = "SELECT postrider.enqueue('task', '{\"name\": \"prepared\"}')";
    client.batch_execute("BEGIN; SET LOCAL postrider.notify = off").await.unwrap();
    let id = client.query_one(add, &[]).await.unwrap().get(0);
    client.batch_execute("PREPARE TRANSACTION 'both'").await.unwrap();
    client.batch_execute("COMMIT PREPARED 'both'").await.unwrap();
    job_becomes(&client, id, State::Completed).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_retries_cancels_and_resumes_with_notifications_off() {
    let cluster = Cluster::start(OPEN, &["max_prepared_transactions = 5"]);
    let db = TestDatabase::in_cluster(&cluster).await;
    let client = db.connect().await;
    let mut worker = TestWorker::start(&db.database, set, |task, cx| async move {
        match (task.name.as_str(), cx.attempt()) {
            ("bad", _) => Err(JobError::discard("bad")),
            ("late", 1) => Err(JobError::retry_after("late", Duration::from_hours(1))),
            ("long", _) => {
                cx.cancelled().await;
                Ok(())
            }
            _ => Ok(()),
        }
    });
    admin::pause(&client, "other").await.unwrap();
    let long = enqueue(&client, &task("long")).await.unwrap().id;
    assert_eq!(worker.next_start().await.job_id, long);
    let bad = enqueue(&client, &task("bad")).await.unwrap().id;
    let late = enqueue(&client, &task("late")).await.unwrap().id;
    let first = job_becomes(&client, bad, State::Discarded).await;
    job_becomes(&client, late, State::Retryable).await;

    client.batch_execute("BEGIN; SET LOCAL postrider.notify = off").await.unwrap();
    admin::retry(&client, bad).await.unwrap();
    admin::retry(&client, late).await.unwrap();
    admin::cancel(&client, long).await.unwrap();
    admin::resume(&client, "other").await.unwrap();
    client.batch_execute("PREPARE TRANSACTION 'all'").await.unwrap();
    client.batch_execute("COMMIT PREPARED 'all'").await.unwrap();
    job_becomes(&client, late, State::Completed).await;
    until("it is discarded again", PATIENCE, async || {
        (job(&client, bad).await.finished_at > first.finished_at).then_some(())
    })
    .await;
    until("the cancel is heard", PATIENCE, async || (job(&client, long).await.state != State::Running).then_some(()))
        .await;
    worker.stop().await;
}
