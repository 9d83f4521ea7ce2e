//! History is removed day by day, and nobody waits for that (CONFORMANCE 41).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use postrider::{Context, JobError, State, enqueue_many, operate};
use support::database::TestDatabase;
use support::jobs::finished;
use support::rows::{job, job_becomes, number, number_becomes};
use support::wait::{PATIENCE, until, within};
use support::worker::{Starts, Task, TestWorker, tasks};
use tokio_postgres::Client;

/// Each looks at the history for the first time at some instant of its first minute.
const WORKERS: usize = 12;
const FIRST_LOOK: Duration = Duration::from_secs(50);

async fn ok(_: Task, _: Context<Starts>) -> Result<(), JobError> {
    Ok(())
}

/// A partition whose day is over, with a job in it. Answers with its name.
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
async fn a_day_of_history_goes_once_its_last_reader_has_and_nobody_waits_meanwhile() {
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
                 AND application_name = 'postrider upkeep' AND wait_event_type = 'Lock'";
    until("the partition is to be removed", FIRST_LOOK, || async {
        (!client.query(waits, &[]).await.unwrap().is_empty()).then_some(())
    })
    .await;
    // Behind the one that waits: adding, claiming, finishing, looking, a partition for another day.
    for _ in 0..5 {
        let ids = within("jobs are added", PATIENCE, enqueue_many(&client, &tasks(20))).await.unwrap();
        for id in ids {
            job_becomes(&client, id, State::Completed).await;
        }
    }
    let listed = within("a list", PATIENCE, operate::list(&client, &operate::ListFilter::default())).await.unwrap();
    assert!(!listed.is_empty());
    let make = "SELECT postrider.make_history_partition((now() AT TIME ZONE 'UTC')::date + 40)";
    within("a partition is made", PATIENCE, client.query(make, &[])).await.unwrap();
    assert!(!client.query(waits, &[]).await.unwrap().is_empty(), "it still waits for the reader");

    reader.commit().await.unwrap();
    number_becomes(&client, &format!("SELECT count(*) FROM pg_class WHERE relname = '{partition}'"), 0).await;
    assert!(operate::find(&client, old).await.unwrap().is_none());
    assert_eq!(job(&client, kept).await.state, State::Completed);
    // Of today and the days to come none is missing.
    let days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'postrider.job_history'::regclass";
    assert!(number(&client, days).await >= 9);
    for worker in workers {
        worker.stop().await;
    }
}
