//! Which workers are notified of a new job: only idle ones, and none of their jobs is missed (CONFORMANCE 6).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::notifications::NotificationProbe;
use crate::support::rows::{job_becomes, number_becomes, workers_listen};
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, TestWorker, task};
use postrider::observe::Event;
use postrider::{NewJob, State, enqueue, enqueue_many};
use tokio::sync::Semaphore;
use tokio_postgres::Client;

/// No poll comes to the help of a notification within a test.
const NEVER: Duration = Duration::from_hours(1);

/// A worker whose jobs end when the gate opens.
fn gated(db: &TestDatabase, slots: usize, gate: &Arc<Semaphore>) -> TestWorker {
    let gate = Arc::clone(gate);
    TestWorker::start(
        &db.database,
        |w| w.queue("default", slots).poll_interval(NEVER),
        move |_, _: postrider::Context<Starts>| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await?.forget();
                Ok(())
            }
        },
    )
}

/// Waits until a worker holds the idle lock of the queue `default`, or until none does.
async fn somebody_is_idle(client: &Client, wanted: bool) {
    let query = "SELECT pg_try_advisory_xact_lock_shared(hashtext('postrider'), postrider.idle_key('default'))";
    until(&format!("somebody is idle: {wanted}"), PATIENCE, || async {
        let granted: bool = client.query_one(query, &[]).await.unwrap().get(0);
        (granted != wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_all_slots_are_taken_no_job_is_announced_and_all_are_found() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    let mut worker = gated(&db, 2, &gate);
    workers_listen(&client, 1).await;
    let mut probe = NotificationProbe::beside_others(&db).await;
    for name in ["a", "b"] {
        enqueue(&client, &task(name)).await.unwrap();
        worker.next_start().await;
    }
    somebody_is_idle(&client, false).await;
    probe.all().await;
    for _ in 0..100 {
        enqueue(&client, &task("")).await.unwrap();
    }
    enqueue_many(&client, &(0..100).map(|_| NewJob::of(&task("")).unwrap()).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(probe.all().await, Vec::<String>::new(), "nobody could have started them");
    gate.add_permits(1000);
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    somebody_is_idle(&client, true).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_long_transaction_is_found_without_a_notification() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    let mut worker = gated(&db, 1, &gate);
    workers_listen(&client, 1).await;
    enqueue(&client, &task("first")).await.unwrap();
    worker.next_start().await;
    somebody_is_idle(&client, false).await;

    let mut late = db.connect().await;
    let open = late.transaction().await.unwrap();
    let late_id = enqueue(&open, &task("late")).await.unwrap().id;
    gate.add_permits(1000);
    // The worker is idle and cannot know of the other's job; nor may that keep it from new ones.
    for name in ["second", "third"] {
        enqueue(&client, &task(name)).await.unwrap();
        assert_eq!(worker.next_start().await.name, name);
    }
    open.commit().await.unwrap();
    assert_eq!(worker.next_start().await.name, "late");
    job_becomes(&client, late_id, State::Completed).await;
    // Once the transaction is gone it can acquire the idle lock.
    somebody_is_idle(&client, true).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_that_is_frozen_or_dies_keeps_no_job_from_the_others() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let frozen = db.connect().await;
    let stands = "SELECT pg_try_advisory_lock(hashtext('postrider'), postrider.idle_key('default'))";
    assert!(frozen.query_one(stands, &[]).await.unwrap().get::<_, bool>(0));
    let gate = Arc::new(Semaphore::new(1000));
    let mut worker = gated(&db, 5, &gate);
    workers_listen(&client, 1).await;
    for number in 0..20 {
        enqueue(&client, &task(number.to_string())).await.unwrap();
        assert_eq!(worker.next_start().await.name, number.to_string());
    }
    drop(frozen);
    for number in 0..20 {
        enqueue(&client, &task(number.to_string())).await.unwrap();
        assert_eq!(worker.next_start().await.name, number.to_string());
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_becomes_busy_leaves_the_next_job_to_an_idle_one() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    let mut workers = [gated(&db, 1, &gate), gated(&db, 1, &gate), gated(&db, 1, &gate)];
    workers_listen(&client, 3).await;
    for name in ["a", "b", "c"] {
        enqueue(&client, &task(name)).await.unwrap();
    }
    for worker in &mut workers {
        worker.next_start().await;
    }
    gate.add_permits(1000);
    for worker in workers {
        worker.stop().await;
    }
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_wakes_few_of_many_idle_workers() {
    const WORKERS: u32 = 12;
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let claims = Arc::new(AtomicU32::new(0));
    let workers: Vec<TestWorker> = (0..WORKERS)
        .map(|_| {
            let claims = Arc::clone(&claims);
            TestWorker::start(
                &db.another_pool(),
                |w| {
                    let w = w.queue("default", 5).poll_interval(NEVER);
                    let mut events = w.events();
                    tokio::spawn(async move {
                        while let Some(event) = events.next().await {
                            claims
                                .fetch_add(u32::from(matches!(event, Event::ClaimFinished { .. })), Ordering::Relaxed);
                        }
                    });
                    w
                },
                |_, _| async { Ok(()) },
            )
        })
        .collect();
    workers_listen(&client, WORKERS.into()).await;
    // At first all check, and find nothing.
    let run = async |jobs: u32| {
        let before = claims.load(Ordering::Relaxed);
        for _ in 0..jobs {
            somebody_is_idle(&client, true).await;
            let id = enqueue(&client, &task("alone")).await.unwrap().id;
            job_becomes(&client, id, State::Completed).await;
            // Longer than a check is put off.
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        (claims.load(Ordering::Relaxed) - before) / jobs
    };
    println!("{} claims a job while the workers learn", run(40).await);
    let claims = run(40).await;
    println!("{claims} claims a job afterwards, {WORKERS} workers");
    assert!(claims <= 8, "{claims} claims a job");
    for worker in workers {
        worker.stop().await;
    }
}
