//! Which workers are notified of a new job, and when (CONFORMANCE 5, 6).

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::notifications::NotificationProbe;
use crate::support::rows::{job_becomes, workers_listen};
use crate::support::worker::{TestWorker, task};
use chrono::{TimeDelta, Utc};
use postrider::{NewJob, State, enqueue, enqueue_copy, enqueue_many};

/// No poll comes to the help of a notification within a test.
const NEVER: Duration = Duration::from_hours(1);

// CONFORMANCE 5
#[tokio::test]
async fn a_job_due_soon_announces_only_its_time_and_one_due_late_announces_nothing() {
    let db = TestDatabase::new().await;
    let mut client = db.connect().await;
    let mut probe = NotificationProbe::new(&db).await;
    let soon = Duration::from_mins(10);
    let id = enqueue(&client, &task("soon")).run_in(soon).await.unwrap().id;
    let job = crate::support::rows::job(&client, id).await;
    assert_eq!(job.state, State::Scheduled);
    // Rounded up: never before the job is due.
    let due_ms = (job.run_at.timestamp_micros() + 999) / 1000;
    assert_eq!(probe.all().await, [format!("due {due_ms} default")]);

    enqueue(&client, &task("late")).run_in(Duration::from_hours(2)).await.unwrap();
    enqueue_many(&client, &[NewJob::of(&task("")).unwrap().run_in(Duration::from_hours(24)).unwrap()]).await.unwrap();
    assert_eq!(probe.all().await, Vec::<String>::new());

    // Long overdue is due.
    enqueue(&client, &task("overdue")).run_at(Utc::now() - TimeDelta::days(9)).await.unwrap();
    assert_eq!(probe.all().await, ["wake default"]);

    let tx = client.transaction().await.unwrap();
    enqueue_copy(&tx, [NewJob::of(&task("copied")).unwrap().run_in(soon)]).await.unwrap();
    tx.commit().await.unwrap();
    let heard = probe.all().await;
    assert!(matches!(heard.as_slice(), [one] if one.starts_with("due ")), "{heard:?}");
}

// CONFORMANCE 5
#[tokio::test(flavor = "multi_thread")]
async fn a_due_job_wakes_a_waiting_worker_long_before_any_poll() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 1).queue("other", 1).poll_interval(NEVER),
        |_, _| async { Ok(()) },
    );
    workers_listen(&client, 1).await;
    for round in 0..20 {
        let queue = if round % 2 == 0 { "default" } else { "other" };
        let id = enqueue(&client, &task("wake up")).queue(queue).await.unwrap().id;
        assert_eq!(worker.next_start().await.job_id, id);
        job_becomes(&client, id, State::Completed).await;
    }
    worker.stop().await;
}

// CONFORMANCE 6 (the half of it that holds without idle locks)
#[tokio::test]
async fn a_batch_sends_one_notification_a_queue() {
    let db = TestDatabase::new().await;
    let mut client = db.connect().await;
    let mut probe = NotificationProbe::new(&db).await;
    let batch = || -> Vec<NewJob> {
        (0..100)
            .map(|number| {
                let job = NewJob::of(&task(number.to_string())).unwrap();
                let job = job.queue(if number % 3 == 0 { "a" } else { "b" }).unwrap();
                // Some later than others: the earliest of a queue speaks for it.
                if number % 2 == 0 { job } else { job.run_in(Duration::from_secs(number)).unwrap() }
            })
            .collect()
    };
    let sorted = |mut heard: Vec<String>| {
        heard.sort();
        heard
    };
    enqueue_many(&client, &batch()).await.unwrap();
    assert_eq!(sorted(probe.all().await), ["wake a", "wake b"]);
    let tx = client.transaction().await.unwrap();
    enqueue_copy(&tx, batch().into_iter().map(Ok)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(sorted(probe.all().await), ["wake a", "wake b"]);
    let keyed = |(number, job): (usize, NewJob)| job.unique_key(&number.to_string()).unwrap();
    enqueue_many(&client, &(0..50).map(|n| (n, NewJob::of(&task("")).unwrap())).map(keyed).collect::<Vec<_>>())
        .await
        .unwrap();
    assert_eq!(probe.all().await, ["wake default"], "keys or not");
}

// CONFORMANCE 6
#[tokio::test(flavor = "multi_thread")]
async fn no_wake_up_depends_on_another_transaction_that_is_still_open() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker =
        TestWorker::start(&db.database, |w| w.queue("default", 2).poll_interval(NEVER), |_, _| async { Ok(()) });
    workers_listen(&client, 1).await;
    let (mut rolled_back, mut late) = (db.connect().await, db.connect().await);
    let (doomed, open) = (rolled_back.transaction().await.unwrap(), late.transaction().await.unwrap());
    enqueue(&doomed, &task("doomed")).await.unwrap();
    // Its due time lies before that of all that follow.
    enqueue(&open, &task("late")).await.unwrap();
    enqueue(&client, &task("prompt")).await.unwrap();
    assert_eq!(worker.next_start().await.name, "prompt");
    doomed.rollback().await.unwrap();
    enqueue(&client, &task("after the rollback")).await.unwrap();
    assert_eq!(worker.next_start().await.name, "after the rollback");
    open.commit().await.unwrap();
    assert_eq!(worker.next_start().await.name, "late");
    worker.stop().await;
}
