//! Statements of a worker that ask for more than the database can do in the time it has (payloads of
//! megabytes, a slow disk): asked again for the same, it would fail again, for ever (CONFORMANCE 13, 24).

use std::sync::Arc;
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::rows::number;
use crate::support::wait::until;
use crate::support::worker::{TestWorker, tasks};
use postrider::enqueue_many;
use tokio::sync::Semaphore;
use tokio_postgres::Client;

const LONG: Duration = Duration::from_mins(2);

/// Makes each row of a statement on the jobs take its time.
async fn slow_down(client: &Client, event: &str, seconds: f64) {
    let trigger = format!(
        "CREATE FUNCTION public.take_time() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN PERFORM pg_sleep({seconds}); RETURN coalesce(NEW, OLD); END $$;
         CREATE TRIGGER slow BEFORE {event} ON postrider.job FOR EACH ROW EXECUTE FUNCTION public.take_time()"
    );
    client.batch_execute(&trigger).await.unwrap();
}

async fn all_are_completed(client: &Client, jobs: i64) {
    until("all jobs are completed", LONG, async || {
        let completed = "SELECT count(*) FROM postrider.jobs WHERE state = 'completed'";
        (number(client, completed).await == jobs).then_some(())
    })
    .await;
    assert_eq!(number(client, "SELECT count(*) FROM postrider.jobs WHERE attempt > 1").await, 0);
}

// CONFORMANCE 13
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_takes_too_long_is_followed_by_a_smaller_one() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    // All at once would take 7.5 s; a claim has 5.
    slow_down(&client, "UPDATE", 0.05).await;
    enqueue_many(&client, &tasks(150)).await.unwrap();
    let worker = TestWorker::start(&db.database, |w| w.queue("default", 150), |_, _| async { Ok(()) });
    all_are_completed(&client, 150).await;
    worker.stop().await;
}

// CONFORMANCE 24
#[tokio::test(flavor = "multi_thread")]
async fn outcomes_that_take_too_long_together_are_recorded_in_parts() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    enqueue_many(&client, &tasks(150)).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let handlers = Arc::clone(&gate);
    let mut worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 150),
        move |_, _| {
            let gate = Arc::clone(&handlers);
            async move {
                gate.acquire().await?.forget();
                Ok(())
            }
        },
    );
    for _ in 0..150 {
        worker.next_start().await;
    }
    // All at once would take 15 s; they have 10.
    slow_down(&client, "DELETE", 0.1).await;
    gate.add_permits(150);
    all_are_completed(&client, 150).await;
    worker.stop().await;
}
