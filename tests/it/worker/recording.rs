//! That outcomes are recorded, once, whatever the database does (CONFORMANCE 22, 24).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::rows::{job, job_becomes, number, number_becomes, running, terminate_backends};
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, TestWorker, task};
use postrider::{JobError, NewJob, State, Worker, enqueue, enqueue_many};
use tokio_postgres::Client;

const HOUR: Duration = Duration::from_hours(1);

fn one_slot(worker: Worker<Starts>) -> Worker<Starts> {
    worker.queue("default", 1)
}

// CONFORMANCE 22 (the fence itself; a stalled worker is issue "Nothing lost")
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_job_was_claimed_anew_can_write_nothing_about_it() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let set = |w: Worker<Starts>| w.queue("default", 10);
    let taken = Arc::new(tokio::sync::Semaphore::new(0));
    let gate = Arc::clone(&taken);
    let mut worker = TestWorker::start(&db.database, set, move |task, _| {
        let gate = Arc::clone(&gate);
        async move {
            drop(gate.acquire().await);
            match task.name.as_str() {
                "complete" => Ok(()),
                "fail" => Err(JobError::retry("stale")),
                "discard" => Err(JobError::discard("stale")),
                "snooze" => Err(JobError::snooze(HOUR)),
                "cancel" => Err(JobError::cancel("stale")),
                _ => panic!("stale"),
            }
        }
    });
    let names = ["complete", "fail", "discard", "snooze", "cancel", "panic"];
    for name in names {
        enqueue(&client, &task(name)).await.unwrap();
        worker.next_start().await;
    }
    // As if each had been rescued and claimed again, half by another worker, half by this one.
    // The other is registered, so that its jobs are not taken for stranded ones.
    let stolen = "WITH other AS (
                      INSERT INTO postrider.worker (id, lock_key, lease_ms, pid, host, version, queues)
                      VALUES (gen_random_uuid(), 1, 3600000, 1, 'other', '0', '{}') RETURNING id
                  )
                  UPDATE postrider.job SET claim = claim + 1,
                  attempted_by = CASE WHEN job.id % 2 = 0 THEN other.id ELSE attempted_by END FROM other";
    client.execute(stolen, &[]).await.unwrap();
    let rows = "SELECT array_agg(to_jsonb(j) ORDER BY id) FROM postrider.job AS j";
    let before: Vec<serde_json::Value> = client.query_one(rows, &[]).await.unwrap().get(0);
    taken.add_permits(100);
    until("all are told that they are stale", PATIENCE, || async { (worker.metrics.stale() == 6).then_some(()) }).await;
    let after: Vec<serde_json::Value> = client.query_one(rows, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job_history").await, 0);
    assert_eq!((worker.metrics.completed(), worker.metrics.failed()), (0, 0));
    worker.stop().await;
}

// CONFORMANCE 24
#[tokio::test(flavor = "multi_thread")]
async fn outcomes_of_all_sorts_are_recorded_in_one_batch() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let jobs: Vec<NewJob> = (0..400).map(|n: i32| NewJob::of(&task((n % 8).to_string())).unwrap()).collect();
    enqueue_many(&client, &jobs).await.unwrap();
    let worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 400),
        |task, cx| async move {
            // All end together.
            tokio::task::yield_now().await;
            match (task.name.as_str(), cx.attempt()) {
                ("0", _) => Err(JobError::cancel("0")),
                ("1", _) => Err(JobError::discard("1")),
                ("2", _) => Err(JobError::retry_after("2", HOUR)),
                ("3", _) => Err(JobError::snooze(HOUR)),
                ("4", _) => panic!("4"),
                ("5", 1) => Err(JobError::retry_after("5", Duration::ZERO)),
                _ => Ok(()),
            }
        },
    );
    let counted = "SELECT count(*) FROM (SELECT args ->> 'name', state FROM postrider.jobs
                   WHERE (args ->> 'name', state) IN (
                       ('0', 'cancelled'), ('1', 'discarded'), ('2', 'retryable'), ('3', 'scheduled'), ('4', 'retryable'),
                       ('5', 'completed'), ('6', 'completed'), ('7', 'completed'))) AS j";
    number_becomes(&client, counted, 400).await;
    worker.stop().await;
}

/// Makes the history refuse rows that match `condition`, with this `sqlstate`.
async fn refuse_history(client: &Client, condition: &str, sqlstate: &str) {
    client
        .batch_execute(&format!(
            "CREATE SEQUENCE refusals;
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF {condition} THEN RAISE EXCEPTION 'refused' USING ERRCODE = '{sqlstate}'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON postrider.job_history FOR EACH ROW EXECUTE FUNCTION refuse()"
        ))
        .await
        .unwrap();
}

// CONFORMANCE 24
#[tokio::test(flavor = "multi_thread")]
async fn a_passing_fault_of_the_database_is_retried_until_the_outcome_is_recorded() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    // A sequence is not rolled back with the refusal.
    refuse_history(&client, "nextval('refusals') <= 3", "40001").await;
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 10), |_, _| async { Ok(()) });
    let id = enqueue(&client, &task("")).await.unwrap().id;
    worker.next_start().await;
    assert_eq!(job_becomes(&client, id, State::Completed).await.attempt, 1);
    // And over a broken connection.
    assert_eq!(terminate_backends(&client, "postrider finish").await, 1);
    let id = enqueue(&client, &task("")).await.unwrap().id;
    assert_eq!(job_becomes(&client, id, State::Completed).await.attempt, 1);
    let metrics = worker.stop_for_metrics().await;
    assert_eq!(metrics.completed(), 2);
}

// CONFORMANCE 24: the neighbour, the answer to a record is lost
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_whose_record_was_never_answered_is_recorded_once() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let proxy = crate::support::proxy::Proxy::new(&db).await;
    let database = postrider::Database::from_url(&proxy.url).unwrap();
    let mut worker = TestWorker::start(&database, one_slot, |task, _| async move {
        if task.name == "retry" { Err(JobError::retry_after("later", HOUR)) } else { Ok(()) }
    });
    for (name, state) in [("complete", State::Completed), ("retry", State::Retryable)] {
        // So that the statement is prepared and only its execution remains.
        let warm_up = enqueue(&client, &task(name)).await.unwrap().id;
        worker.next_start().await;
        job_becomes(&client, warm_up, state).await;
        until("its record is known", PATIENCE, || async {
            (worker.metrics.completed() + worker.metrics.failed() >= 1).then_some(())
        })
        .await;
        proxy.swallow_answers("finish");
        let id = enqueue(&client, &task(name)).await.unwrap().id;
        worker.next_start().await;
        let record = job_becomes(&client, id, state).await;
        proxy.cut("finish");
        let next = enqueue(&client, &task("next")).await.unwrap().id;
        job_becomes(&client, next, State::Completed).await;
        let after = job(&client, id).await;
        assert_eq!((after.attempt, after.state, after.run_at), (1, state, record.run_at));
        assert_eq!(after.attempt_errors().len(), record.attempt_errors().len());
    }
    until("all outcomes are counted", PATIENCE, || async { (worker.metrics.failed() == 2).then_some(()) }).await;
    assert_eq!(worker.metrics.stale(), 0, "no attempt was refused");
    worker.stop().await;
}

// CONFORMANCE 24
#[tokio::test(flavor = "multi_thread")]
async fn one_outcome_that_the_database_refuses_is_singled_out_and_the_others_go_through() {
    // A trigger of the users can raise anything: an exception, what a missing partition or a missing right raises, a
    // CASE without its ELSE, a time limit.
    for sqlstate in ["P0001", "23514", "42501", "20000", "57014"] {
        one_is_singled_out(sqlstate).await;
    }
}

async fn one_is_singled_out(sqlstate: &str) {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    refuse_history(&client, "NEW.args ->> 'name' = '17'", sqlstate).await;
    let jobs: Vec<NewJob> = (0..50).map(|n: i32| NewJob::of(&task(n.to_string())).unwrap()).collect();
    let ids = ids_of(enqueue_many(&client, &jobs).await.unwrap());
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 50), |_, _| async { Ok(()) });
    number_becomes(&client, "SELECT count(*) FROM postrider.jobs WHERE state = 'completed'", 49).await;
    // The one is neither lost nor blamed for what the database refuses: its outcome waits.
    assert_eq!(job(&client, ids[17]).await.state, State::Running);
    client.batch_execute("DROP TRIGGER refuse ON postrider.job_history").await.unwrap();
    let record = job_becomes(&client, ids[17], State::Completed).await;
    assert_eq!((record.attempt, record.error), (1, None));
    let mut starts = 0;
    while let Ok(started) = worker.starts.try_recv() {
        starts += i32::from(started.job_id == ids[17]);
    }
    assert_eq!(starts, 1);
    worker.stop().await;
}

// CONFORMANCE 24: the neighbour, a day without a partition
#[tokio::test(flavor = "multi_thread")]
async fn a_finish_that_meets_a_missing_partition_makes_it_and_goes_on() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker = TestWorker::start(&db.database, one_slot, |task, _| async move {
        if task.name == "bad" { Err(JobError::discard("bad")) } else { Ok(()) }
    });
    let first = enqueue(&client, &task("first")).await.unwrap().id;
    worker.next_start().await;
    job_becomes(&client, first, State::Completed).await;
    let partitions = "SELECT string_agg('DROP TABLE postrider.' || relname, '; ') FROM pg_class
                      WHERE relname ~ '^job_history_[0-9]{8}$'";
    let drop_all: String = client.query_one(partitions, &[]).await.unwrap().get(0);
    client.batch_execute(&drop_all).await.unwrap();
    let good = enqueue(&client, &task("good")).await.unwrap().id;
    let bad = enqueue(&client, &task("bad")).await.unwrap().id;
    job_becomes(&client, good, State::Completed).await;
    job_becomes(&client, bad, State::Discarded).await;
    worker.stop().await;
}

// CONFORMANCE 24
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_lags_with_records_holds_up_claims() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let jobs: Vec<NewJob> = (0..8_000).map(|_| NewJob::of(&task("")).unwrap()).collect();
    enqueue_many(&client, &jobs).await.unwrap();
    let mut locking = db.connect().await;
    let lock = locking.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE postrider.job_history IN EXCLUSIVE MODE").await.unwrap();
    let worker = TestWorker::start(&db.database, |w| w.queue("default", 100), |_, _| async { Ok(()) });
    // It goes on claiming until its buffer is full, and then stops.
    let mut last = (0, Instant::now());
    until("claims are held up", 2 * PATIENCE, || {
        let claimed = worker.metrics.claimed();
        if claimed > last.0 {
            last = (claimed, Instant::now());
        }
        let still = claimed > 0 && last.1.elapsed() > Duration::from_millis(500);
        async move { still.then_some(()) }
    })
    .await;
    // What waits, one batch being written, the slots, and what was claimed ahead of them.
    assert!(last.0 <= 2_000 + 1_000 + 100 + 2_000, "{} claimed", last.0);
    lock.commit().await.unwrap();
    until("all are recorded", 2 * PATIENCE, || async { (worker.metrics.completed() == 8_000).then_some(()) }).await;
    assert_eq!((running(&client).await, worker.metrics.stale()), (0, 0));
    worker.stop().await;
}

// CONFORMANCE 16: a retry without a delay is claimed again before its own worker knows of its record
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_due_again_at_once_is_not_mistaken_for_its_last_attempt() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let proxy = crate::support::proxy::Proxy::new(&db).await;
    let database = postrider::Database::from_url(&proxy.url).unwrap();
    let set = |w: Worker<Starts>| one_slot(w).poll_interval(Duration::from_millis(20));
    let mut worker = TestWorker::start(&database, set, |_, cx| async move {
        if cx.attempt() == 1 { Err(JobError::retry_after("again", Duration::ZERO)) } else { Ok(()) }
    });
    // So that the statement is prepared and only its execution remains.
    let warm_up = enqueue(&client, &task("warm up")).await.unwrap().id;
    job_becomes(&client, warm_up, State::Completed).await;
    until("its record is known", PATIENCE, || async { (worker.metrics.completed() == 1).then_some(()) }).await;
    proxy.hold_answers("finish");
    let id = enqueue(&client, &task("again")).await.unwrap().id;
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running AND attempt = 2", 1).await;
    proxy.release_answers();
    let record = job_becomes(&client, id, State::Completed).await;
    assert_eq!((record.attempt, record.attempt_errors().len()), (2, 1));
    until("all outcomes are counted", PATIENCE, || async { (worker.metrics.completed() == 2).then_some(()) }).await;
    assert_eq!((worker.metrics.failed(), worker.metrics.stale()), (2, 0));
    while worker.starts.try_recv().is_ok() {}
    worker.stop().await;
}
