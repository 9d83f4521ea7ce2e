//! Runs of the jobs that are due, on the test's own database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postrider::testing::{Outcome, TestWorker};
use postrider::{Context, Error, JobError, Priority, State, Worker, admin, enqueue};

use super::{Log, Step, brief, said, say, test_worker};
use crate::support::database::TestDatabase;
use crate::support::rows::job;

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn what_is_due_runs_and_what_follows_from_it() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (worker, log) = test_worker(db.database.clone());
    let inner = Step::Enqueue(vec![(say("c"), 0), (say("later"), 60)]);
    enqueue(&client, &Step::Enqueue(vec![(say("b"), 0), (inner, 0)])).await.unwrap();
    enqueue(&client, &say("a")).priority(Priority::Urgent).await.unwrap();
    enqueue(&client, &say("elsewhere")).queue("other").await.unwrap();
    enqueue(&client, &say("unserved")).queue("unserved").await.unwrap();
    let ran = worker.run_due(Duration::ZERO).await.unwrap();
    assert_eq!(ran.len(), 6, "{ran:#?}");
    assert!(ran.iter().all(|attempt| attempt.outcome.is_completed() && attempt.kind == "step"), "{ran:#?}");
    assert_eq!(said(&log), "a b c elsewhere");
    // Nothing is left of the worker, and of the jobs what is not due or not its own.
    assert_eq!((db.count("postrider.worker").await, db.count("postrider.job").await), (0, 2));
    assert_eq!(worker.run_due(Duration::ZERO).await.unwrap().len(), 0);
}

#[tokio::test]
async fn time_passes_from_job_to_job_and_no_further_than_asked() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (worker, log) = test_worker(db.database.clone());
    for (text, delay) in [("third", HOUR * 3), ("first", HOUR), ("fifth", HOUR * 5)] {
        enqueue(&client, &say(text)).run_in(delay).await.unwrap();
    }
    // An hour after the first.
    let chain = Step::Enqueue(vec![(say("second"), 3_600)]);
    enqueue(&client, &chain).run_in(HOUR).await.unwrap();
    worker.run_due(HOUR * 4).await.unwrap();
    assert_eq!(said(&log), "first second third");
    // Four hours have passed for the one that is left, too.
    worker.run_due(Duration::from_mins(59)).await.unwrap();
    assert_eq!(said(&log), "");
    worker.run_due(Duration::from_mins(2)).await.unwrap();
    assert_eq!(said(&log), "fifth");
}

#[tokio::test]
async fn retries_and_snoozes_run_at_their_times() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (worker, log) = test_worker(db.database.clone());
    // Due again after one minute, and after two more.
    let id = enqueue(&client, &Step::FailBefore(3)).await.unwrap().id;
    enqueue(&client, &say("between")).run_in(Duration::from_mins(2)).await.unwrap();
    let ran = worker.run_due(Duration::from_secs(150)).await.unwrap();
    assert_eq!(brief(&ran), "1 retried, 2 retried, 1 completed");
    assert_eq!(brief(&worker.run_due(Duration::from_mins(1)).await.unwrap()), "3 completed");
    let record = job(&client, id).await;
    assert_eq!((record.state, record.attempt_errors().len()), (State::Completed, 2));
    log.take();

    enqueue(&client, &Step::Snooze).await.unwrap();
    let ran = worker.run_due(Duration::from_mins(12)).await.unwrap();
    assert_eq!(brief(&ran), "1 snoozed, 1 snoozed, 1 snoozed");
}

#[tokio::test]
async fn outcomes_are_recorded_as_by_a_running_worker() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (worker, _) = test_worker(db.database.clone());
    let steps =
        [Step::Return("42".into()), Step::Discard, Step::Cancel, Step::FailBefore(2), Step::Return("x".repeat(4_000))];
    let mut ids = Vec::new();
    for step in &steps {
        ids.push(enqueue(&client, step).max_attempts(1).await.unwrap().id);
    }
    admin::cancel(&client, enqueue(&client, &say("cancelled")).await.unwrap().id).await.unwrap();
    let ran = worker.run_due(Duration::ZERO).await.unwrap();
    assert_eq!(brief(&ran), "1 completed, 1 discarded, 1 cancelled, 1 discarded, 1 completed");
    let mut states = Vec::new();
    for id in &ids {
        states.push(job(&client, *id).await.state);
    }
    let expected = [State::Completed, State::Discarded, State::Cancelled, State::Discarded, State::Completed];
    assert_eq!(states, expected);
    assert_eq!(job(&client, ids[0]).await.output_as::<String>().unwrap().as_deref(), Some("42"));
    // Its args were large.
    assert_eq!(job(&client, ids[4]).await.output_as::<String>().unwrap().map(|text| text.len()), Some(4_000));
}

#[tokio::test]
async fn a_paused_queue_does_not_run_and_does_not_hold_up_time() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (worker, log) = test_worker(db.database.clone());
    admin::pause(&client, "default").await.unwrap();
    enqueue(&client, &say("paused")).run_in(HOUR).await.unwrap();
    enqueue(&client, &say("runs")).queue("other").run_in(HOUR * 2).await.unwrap();
    worker.run_due(HOUR * 3).await.unwrap();
    assert_eq!(said(&log), "runs");
    admin::resume(&client, "default").await.unwrap();
    worker.run_due(Duration::ZERO).await.unwrap();
    assert_eq!(said(&log), "paused");
}

#[tokio::test]
async fn the_longest_time_moves_no_job_out_of_the_calendar() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (worker, log) = test_worker(db.database.clone());
    let far = DateTime::parse_from_rfc3339("9999-12-31T00:00:00Z").unwrap().to_utc();
    enqueue(&client, &say("far")).run_at(far).await.unwrap();
    let unserved = enqueue(&client, &say("unserved")).queue("unserved").run_in(HOUR).await.unwrap().id;
    worker.run_due(Duration::MAX).await.unwrap();
    assert_eq!(said(&log), "far");
    let due = job(&client, unserved).await.run_at;
    assert!((Utc::now() - due).num_minutes() < 5, "{due}");
}

#[tokio::test]
async fn a_job_that_repeats_itself_for_ever_is_an_error() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let again = Worker::new(db.database.clone(), Log::default())
        .queue("default", 1)
        .handle(|_: Step, _: Context<Log>| async move { Err::<(), _>(JobError::snooze(Duration::ZERO)) });
    let worker = TestWorker::new(again).unwrap();
    enqueue(&client, &say("for ever")).await.unwrap();
    let error = worker.run_due(Duration::ZERO).limit(20).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid { field: "limit", .. }), "{error}");
    assert_eq!(db.count("postrider.worker").await, 0);
}

#[tokio::test]
async fn a_worker_without_queues_and_a_database_without_a_schema_are_errors() {
    let db = TestDatabase::empty().await;
    let (worker, _) = test_worker(db.database.clone());
    assert!(matches!(worker.run_due(Duration::ZERO).await, Err(Error::SchemaTooOld { .. })));
    assert!(matches!(worker.begin().await.map(drop), Err(Error::SchemaTooOld { .. })));
    let none = Worker::new(db.database.clone(), Log::default()).handle(super::run_step);
    let refused = TestWorker::new(none).unwrap().run_due(Duration::ZERO).await;
    assert!(matches!(refused, Err(Error::Invalid { field: "queues", .. })), "{refused:?}");
}

#[tokio::test]
async fn each_schema_has_its_own_jobs() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let schema = postrider::Schema::new("second").unwrap();
    let second = db.another_pool().in_schema(schema.clone());
    second.migrate(postrider::schema::MigrationSet::Queue).await.unwrap();
    let (worker, log) = test_worker(second);
    enqueue(&client, &say("first")).await.unwrap();
    enqueue(schema.on(&client), &say("second")).run_in(HOUR).await.unwrap();
    let ran = worker.run_due(HOUR).await.unwrap();
    assert_eq!((said(&log).as_str(), ran.len()), ("second", 1));
    assert!(matches!(ran[0].outcome, Outcome::Completed { output: None }));
}

/// Where a day of the calendar may have 23 or 25 hours.
#[tokio::test]
async fn time_passes_alike_across_a_change_of_the_clocks() {
    let db = TestDatabase::new().await;
    db.set("timezone TO 'Europe/Berlin'").await;
    let client = db.connect().await;
    let (worker, log) = test_worker(db.another_pool());
    // Some of them before a change, some of them after one.
    let days: Vec<u64> = (1..=12).map(|month| month * 30).collect();
    for day in &days {
        enqueue(&client, &say(&day.to_string())).run_in(Duration::from_hours(24 * day)).await.unwrap();
    }
    for day in days {
        let before = worker.run_due(Duration::from_mins(30 * 24 * 60 - 9)).await.unwrap();
        assert_eq!(before.len(), 0, "before day {day}");
        worker.run_due(Duration::from_mins(9)).await.unwrap();
        assert_eq!(said(&log), day.to_string());
    }
}

#[tokio::test]
async fn a_run_that_the_database_ends_leaves_no_job_running() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (worker, _) = test_worker(db.database.clone());
    let id = enqueue(&client, &say("a")).await.unwrap().id;
    client
        .batch_execute(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON postrider.job_history FOR EACH ROW EXECUTE FUNCTION public.refuse()",
        )
        .await
        .unwrap();
    let error = worker.run_due(Duration::ZERO).await.unwrap_err();
    assert!(error.to_string().contains("not now"), "{error}");
    assert_eq!(job(&client, id).await.state, State::Retryable);
    assert_eq!(db.count("postrider.worker").await, 0);
    client.batch_execute("DROP TRIGGER refuse ON postrider.job_history").await.unwrap();
    assert_eq!(brief(&worker.run_due(Duration::ZERO).await.unwrap()), "2 completed");
}
