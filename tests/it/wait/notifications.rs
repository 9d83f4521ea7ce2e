//! Which finishes send a notification, and waits to which none comes.

use std::time::Duration;

use postrider::{Args, NewJob, State, Waiter, admin, enqueue};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::support::database::TestDatabase;
use crate::support::notifications::NotificationProbe;
use crate::support::pooler::Pooler;
use crate::support::rows::{number, number_becomes};
use crate::support::wait::PATIENCE;
use crate::support::worker::{TestWorker, task};

/// A parameter with its type.
type Typed<'p> = (&'p (dyn ToSql + Sync), Type);

/// A job that a worker holds with the claim 41, awaited or not.
async fn claimed(client: &tokio_postgres::Client, worker: Uuid, is_awaited: bool) -> i64 {
    let job = postrider::enqueue::enqueue_job(client, NewJob::new("k", Args::default()).unwrap());
    let id = if is_awaited { job.awaited() } else { job }.await.unwrap().id;
    let claim =
        "UPDATE postrider.job SET running = true, attempt = 1, claim = 41, attempted_at = now(), attempted_by = $2
                 WHERE id = $1";
    client.execute(claim, &[&id, &worker]).await.unwrap();
    id
}

#[tokio::test]
async fn each_way_to_finish_notifies_for_jobs_that_are_awaited_and_no_others() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut probe = NotificationProbe::beside_others(&db).await;
    let worker = Uuid::now_v7();
    let (seconds, none, output) = (3600_i64, vec![None::<&str>], vec![serde_json::json!(1)]);
    let (states, retentions) = (vec!["discarded"], vec![seconds]);
    for is_awaited in [true, false] {
        let ways: [(&str, Vec<Typed<'_>>); 4] = [
            (include_str!("../../../sql/queries/finish/complete.sql"), vec![(&seconds, Type::INT8)]),
            (
                include_str!("../../../sql/queries/finish/complete_with_output.sql"),
                vec![(&seconds, Type::INT8), (&output, Type::JSONB_ARRAY)],
            ),
            (
                include_str!("../../../sql/queries/finish/finish.sql"),
                vec![
                    (&states, Type::TEXT_ARRAY),
                    (&retentions, Type::INT8_ARRAY),
                    (&none, Type::TEXT_ARRAY),
                    (&none, Type::TEXT_ARRAY),
                ],
            ),
            (include_str!("../../../sql/queries/finish/delete.sql"), vec![]),
        ];
        for (statement, params) in ways {
            let id = claimed(&client, worker, is_awaited).await;
            let (ids, claims, workers) = (vec![id], vec![41_i32], vec![worker]);
            let mut all: Vec<Typed<'_>> =
                vec![(&ids, Type::INT8_ARRAY), (&claims, Type::INT4_ARRAY), (&workers, Type::UUID_ARRAY)];
            all.extend(params);
            assert_eq!(client.query_typed(statement, &all).await.unwrap().len(), 1, "{statement}");
            let expected = if is_awaited { vec![id.to_string()] } else { Vec::new() };
            assert_eq!(probe.finished().await, expected, "{statement}");
        }

        // In a handler's transaction.
        let id = claimed(&client, worker, is_awaited).await;
        client.execute("SELECT postrider.complete($1, 41, $2, 3600)", &[&id, &worker]).await.unwrap();
        let expected = |id: i64| if is_awaited { vec![id.to_string()] } else { Vec::new() };
        assert_eq!(probe.finished().await, expected(id));

        // By hand.
        let id = claimed(&client, worker, is_awaited).await;
        client.execute("UPDATE postrider.job SET running = false WHERE id = $1", &[&id]).await.unwrap();
        admin::cancel(&client, id).await.unwrap();
        assert_eq!(probe.finished().await, expected(id));

        // With its worker, for the last time.
        let id = claimed(&client, worker, is_awaited).await;
        client.execute("UPDATE postrider.job SET max_attempts = 1 WHERE id = $1", &[&id]).await.unwrap();
        let dead = "INSERT INTO postrider.worker (id, lock_key, lease_ms, pid, host, version, queues)
                    VALUES ($1, 1, 1000, 1, 'h', 'v', '{default}') RETURNING heartbeat_at";
        let heartbeat: chrono::DateTime<chrono::Utc> = client.query_one(dead, &[&worker]).await.unwrap().get(0);
        let rescue = include_str!("../../../sql/queries/worker/rescue_worker.sql");
        let params: [Typed<'_>; 4] =
            [(&worker, Type::UUID), (&heartbeat, Type::TIMESTAMPTZ), (&seconds, Type::INT8), (&true, Type::BOOL)];
        let rescued = client.query_typed(rescue, &params).await.unwrap();
        assert!(rescued[0].get::<_, bool>("discarded"));
        assert_eq!(probe.finished().await, expected(id));
    }
}

/// A wait that marks a job keeps it from a claim for a moment. The job is announced anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_job_that_waits_to_be_claimed_announces_it_anew() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut probe = NotificationProbe::beside_others(&db).await;
    let waiter = Waiter::new(&db.database);
    let due = enqueue(&client, &task("due")).await.unwrap().id;
    let later = enqueue(&client, &task("later")).run_in(Duration::from_hours(2)).await.unwrap().id;
    let running = claimed(&client, Uuid::now_v7(), false).await;
    let awaited = enqueue(&client, &task("awaited")).awaited().await.unwrap().id;
    assert_eq!(probe.all().await, Vec::<String>::new());
    for (id, announced) in
        [(due, vec!["back default".to_owned()]), (later, vec![]), (running, vec![]), (awaited, vec![])]
    {
        assert!(waiter.wait(id, Duration::from_millis(1)).await.unwrap().is_none());
        assert_eq!(probe.all().await, announced, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finish_that_cannot_notify_is_found_by_asking() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let waiter = Waiter::new(&db.database);
    let id = enqueue(&client, &task("silent")).awaited().await.unwrap().id;
    let waiting = waiter.clone();
    let wait = tokio::spawn(async move { waiting.wait(id, PATIENCE).await });
    let listeners =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%wait%' AND datname = current_database()";
    number_becomes(&client, listeners, 1).await;
    client.batch_execute("SET postrider.notify = off").await.unwrap();
    admin::cancel(&client, id).await.unwrap();
    assert_eq!(wait.await.unwrap().unwrap().expect("it ends").state, State::Cancelled);
}

/// A job whose row another transaction has locked is marked afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_does_not_wait_for_a_lock() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut holder = db.connect().await;
    let waiter = Waiter::new(&db.database);
    let id = enqueue(&client, &task("locked")).await.unwrap().id;
    let tx = holder.transaction().await.unwrap();
    tx.execute("SELECT FROM postrider.job WHERE id = $1 FOR UPDATE", &[&id]).await.unwrap();
    assert!(waiter.wait(id, Duration::from_millis(100)).await.unwrap().is_none());
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job WHERE awaited").await, 0);
    let waiting = waiter.clone();
    let wait = tokio::spawn(async move { waiting.wait(id, PATIENCE).await });
    tokio::task::yield_now().await;
    tx.commit().await.unwrap();
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE awaited", 1).await;
    admin::cancel(&client, id).await.unwrap();
    assert_eq!(wait.await.unwrap().unwrap().expect("it ends").state, State::Cancelled);
}

/// Through a transaction pooler, LISTEN receives nothing.
#[tokio::test(flavor = "multi_thread")]
async fn waits_through_a_transaction_pooler_end() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let pooler = Pooler::start(&db, 4).await;
    let database = postrider::Database::from_url(&pooler.url).unwrap();
    let waiter = Waiter::new(&database);
    let worker = TestWorker::start(&db.database, |worker| worker.queue("default", 10), |_, _| async { Ok(()) });
    for _ in 0..3 {
        let id = enqueue(&client, &task("pooled")).awaited().await.unwrap().id;
        assert_eq!(waiter.wait(id, PATIENCE).await.unwrap().expect("it ends").state, State::Completed);
    }
    worker.stop().await;
}
