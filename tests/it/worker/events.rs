//! The events of a worker.

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::rows::terminate_backends;
use crate::support::wait::{PATIENCE, within};
use crate::support::worker::{TestWorker, task};
use postrider::observe::{Event, EventStream};
use postrider::{JobError, JobId, State, admin, enqueue};

const NEVER: Duration = Duration::from_hours(1);

/// The next event that `wanted` picks.
async fn next<T>(events: &mut EventStream, wanted: impl Fn(&Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = events.next().await.expect("the worker runs");
            assert!(!matches!(event, Event::Missed { .. }), "{event:?}");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    within("an event", PATIENCE, found).await
}

/// What the next event about the job is called, and the attempt.
async fn of_job(events: &mut EventStream, id: JobId) -> (&'static str, u32) {
    next(events, |event| match event {
        Event::AttemptStarted { job_id, attempt, .. } if *job_id == id => Some(("started", *attempt)),
        Event::JobRetried { job_id, attempt, next_run_at: Some(_), .. } if *job_id == id => Some(("retried", *attempt)),
        Event::JobSnoozed { job_id, next_run_at: Some(_), .. } if *job_id == id => Some(("snoozed", 0)),
        Event::JobReleased { job_id, .. } if *job_id == id => Some(("released", 0)),
        Event::JobFinished { job_id, attempt, state, .. } if *job_id == id => Some((state.as_str(), *attempt)),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn events_report_each_job_in_order() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut events = None;
    let worker = TestWorker::start(
        &db.database,
        |w| {
            let w = w.queue("default", 5).retry_policy(|_| Duration::ZERO);
            events = Some(w.events());
            w
        },
        |task, cx| async move {
            match (task.name.as_str(), cx.attempt()) {
                ("fails once", 1) | ("discarded", _) => Err(JobError::retry("no luck")),
                ("snoozes", _) => Err(JobError::snooze(NEVER)),
                ("hangs", _) => std::future::pending().await,
                _ => Ok(()),
            }
        },
    );
    let events = &mut events.expect("set");
    next(events, |event| matches!(event, Event::WorkerReady { .. }).then_some(())).await;

    let id = enqueue(&client, &task("fails once")).await.unwrap().id;
    let got = next(events, |event| match event {
        Event::ClaimFinished { queue, asked, got, .. } if *got > 0 => Some((queue.clone(), *asked, *got)),
        _ => None,
    });
    assert_eq!(got.await, ("default".to_owned(), 5, 1));
    assert_eq!(of_job(events, id).await, ("started", 1));
    assert_eq!(of_job(events, id).await, ("retried", 1));
    assert_eq!(of_job(events, id).await, ("started", 2));
    assert_eq!(of_job(events, id).await, ("completed", 2));

    let id = enqueue(&client, &task("discarded")).max_attempts(1).await.unwrap().id;
    assert_eq!(of_job(events, id).await, ("started", 1));
    assert_eq!(of_job(events, id).await, ("discarded", 1));

    let id = enqueue(&client, &task("snoozes")).await.unwrap().id;
    assert_eq!(of_job(events, id).await, ("started", 1));
    assert_eq!(of_job(events, id).await, ("snoozed", 0));

    let id = enqueue(&client, &task("hangs")).await.unwrap().id;
    assert_eq!(of_job(events, id).await, ("started", 1));
    admin::cancel(&client, id).await.unwrap();
    assert_eq!(of_job(events, id).await, (State::Cancelled.as_str(), 1));

    let id = enqueue(&client, &task("hangs")).await.unwrap().id;
    assert_eq!(of_job(events, id).await, ("started", 1));
    worker.shutdown.cut_off();
    assert_eq!(of_job(events, id).await, ("released", 0));
    worker.stop().await;
    while let Some(event) = within("the end", PATIENCE, events.next()).await {
        assert!(!matches!(event, Event::AttemptStarted { .. }), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_report_the_listener_and_rescued_jobs() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut events = None;
    let worker = TestWorker::start(
        &db.database,
        |w| {
            let w = w.queue("default", 5);
            events = Some(w.events());
            w
        },
        |_, _| async { Ok(()) },
    );
    let events = &mut events.expect("set");
    next(events, |event| (*event == Event::ListenerRestored).then_some(())).await;
    terminate_backends(&client, "postrider listen%").await;
    next(events, |event| (*event == Event::ListenerLost).then_some(())).await;
    next(events, |event| (*event == Event::ListenerRestored).then_some(())).await;

    // A job of a worker whose lease is over.
    client
        .batch_execute(
            "INSERT INTO postrider.worker (id, lock_key, lease_ms, pid, host, version, queues, heartbeat_at)
             VALUES ('00000000-0000-0000-0000-00000000000a', 1, 2000, 1, 'h', 'v', '{default}', now())",
        )
        .await
        .unwrap();
    let id: JobId = client
        .query_one(
            "INSERT INTO postrider.job (kind, running, attempt, attempted_by)
             VALUES ('elsewhere', true, 1, '00000000-0000-0000-0000-00000000000a') RETURNING id",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let rescued = next(events, |event| match event {
        Event::JobRescued { job_id, kind, attempt } => Some((*job_id, kind.clone(), *attempt)),
        _ => None,
    });
    assert_eq!(rescued.await, (id, "elsewhere".to_owned(), 1));
    worker.stop().await;
}
