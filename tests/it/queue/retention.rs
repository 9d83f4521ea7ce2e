//! History is removed day by day, and blocks nothing (CONFORMANCE 41).

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::jobs::{finished, ids_of};
use crate::support::rows::{job, job_becomes, number, number_becomes};
use crate::support::wait::{PATIENCE, until, within};
use crate::support::worker::{Starts, Task, TestWorker, task, tasks};
use postrider::{Context, JobError, Retention, State, admin, enqueue_many};
use tokio_postgres::Client;

/// Each worker checks the history first at a random instant of its first minute. With several, one does so soon.
const WORKERS: usize = 12;
const DAY: Duration = Duration::from_hours(24);
const FIRST_LOOK: Duration = Duration::from_mins(3);

async fn ok(_: Task, _: Context<Starts>) -> Result<(), JobError> {
    Ok(())
}

/// An expired partition with a job in it. Returns its name.
async fn expired_partition(client: &Client) -> (String, postrider::JobId) {
    let make = "SELECT postrider.make_history_partition((now() AT TIME ZONE 'UTC')::date - 1),
                       'job_history_' || to_char((now() AT TIME ZONE 'UTC')::date - 1, 'YYYYMMDD')";
    let name: String = client.query_one(make, &[]).await.unwrap().get(1);
    let old = finished(client, "task", "completed").await;
    let age = "UPDATE postrider.job_history SET expires_on = (now() AT TIME ZONE 'UTC')::date - 1 WHERE id = $1";
    assert_eq!(client.execute(age, &[&old]).await.unwrap(), 1);
    (name, old)
}

// CONFORMANCE 41
#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_history_is_dropped_after_its_last_reader_and_blocks_no_session() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (partition, old) = expired_partition(&client).await;
    let kept = finished(&client, "task", "completed").await;
    let mut reading = db.connect().await;
    let reader = reading.transaction().await.unwrap();
    assert_eq!(reader.query("SELECT id FROM postrider.job_history", &[]).await.unwrap().len(), 2);

    let workers: Vec<TestWorker> = (0..WORKERS)
        .map(|_| TestWorker::start(&db.another_pool().with_pool_size(2), |w| w.queue("default", 5), ok))
        .collect();
    let waits = "SELECT FROM pg_stat_activity WHERE datname = current_database()
                 AND application_name = 'postrider partitions' AND wait_event_type = 'Lock'";
    until("the partition is to be removed", FIRST_LOOK, || async {
        (!client.query(waits, &[]).await.unwrap().is_empty()).then_some(())
    })
    .await;
    // Behind the one that waits: enqueueing, claiming, finishing, listing, a partition for another day.
    for _ in 0..5 {
        let ids = within("jobs are added", PATIENCE, enqueue_many(&client, &tasks(20)).into_future()).await.unwrap();
        for id in ids_of(ids) {
            job_becomes(&client, id, State::Completed).await;
        }
    }
    let listed = within("a list", PATIENCE, admin::list(&client, &admin::ListFilter::default())).await.unwrap();
    assert!(!listed.is_empty());
    let make = "SELECT postrider.make_history_partition((now() AT TIME ZONE 'UTC')::date + 40)";
    within("a partition is made", PATIENCE, client.query(make, &[])).await.unwrap();
    assert!(!client.query(waits, &[]).await.unwrap().is_empty(), "it still waits for the reader");

    reader.commit().await.unwrap();
    number_becomes(&client, &format!("SELECT count(*) FROM pg_class WHERE relname = '{partition}'"), 0).await;
    assert!(admin::find(&client, old).await.unwrap().is_none());
    assert_eq!(job(&client, kept).await.state, State::Completed);
    // Of today and the days to come none is missing.
    let days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'postrider.job_history'::regclass";
    assert!(number(&client, days).await >= 9);
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_that_is_cancelled_is_kept_as_the_workers_of_its_queue_keep_theirs() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let days_kept = async |queue: &str| -> i32 {
        let id = postrider::enqueue(&client, &task("later")).queue(queue).run_in(DAY).await.unwrap().id;
        admin::cancel(&client, id).await.unwrap();
        let days =
            "SELECT expires_on - (finished_at AT TIME ZONE 'UTC')::date FROM postrider.job_history WHERE id = $1";
        client.query_one(days, &[&id]).await.unwrap().get(0)
    };
    assert_eq!(days_kept("default").await, 1, "without a worker");

    let retention = Retention { cancelled: 30 * DAY, ..Retention::default() };
    let worker = TestWorker::start(&db.database, |w| w.queue("default", 5).retention(retention), ok);
    number_becomes(&client, "SELECT count(*) FROM postrider.worker", 1).await;
    assert_eq!(days_kept("default").await, 30);
    assert_eq!(days_kept("other").await, 1, "a queue that it does not serve");
    worker.stop().await;
}
