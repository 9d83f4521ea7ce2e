//! Statements that move a job between `job` and `job_history` move all of it.

use serde_json::{Map, Value};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::support::database::TestDatabase;

/// A job with a value in each column, claimed by a registered worker or not. Returns its id.
async fn add(client: &Client, worker: Option<Uuid>) -> i64 {
    client
        .query_one(
            "INSERT INTO postrider.job (
                 run_at, created_at, max_attempts, priority, crash_count, attempted_at, failed_at, attempted_by, claim,
                 attempt, solo_crash_count, running, queue, kind, args, errors, unique_key, options, group_key, flow,
                 awaited)
             VALUES (
                 now() - interval '1 hour', now() - interval '2 hours', 7, 3, 2, now() - interval '3 hours',
                 now() - interval '4 hours', $1::uuid, 41, 7, 2, $1::uuid IS NOT NULL, 'mail', 'send', '{\"a\": 1}',
                 '[{\"attempt\": 1, \"at\": \"2026-01-01T00:00:00Z\", \"error\": \"e\", \"trace\": null}]', 'key',
                 '{\"tags\": [\"red\"]}', 'tenant', 99, true)
             RETURNING id",
            &[&worker],
        )
        .await
        .unwrap()
        .get(0)
}

async fn register(client: &Client, worker: Uuid) {
    client
        .execute(
            "INSERT INTO postrider.worker (id, lock_key, lease_ms, pid, host, version, queues)
             VALUES ($1, 1, 1000, 1, 'h', 'v', '{mail}')",
            &[&worker],
        )
        .await
        .unwrap();
}

async fn row(client: &Client, table: &str, id: i64) -> Map<String, Value> {
    let text = format!("SELECT to_jsonb(t) FROM postrider.{table} AS t WHERE id = $1");
    match client.query_one(&text, &[&id]).await.unwrap().get(0) {
        Value::Object(row) => row,
        other => panic!("{other}"),
    }
}

/// The values of the columns that both tables have, except those that the statement is to change.
fn assert_moved(before: &Map<String, Value>, after: &Map<String, Value>, changed: &[&str]) {
    let mut compared = 0;
    for (column, value) in before {
        if let Some(moved) = after.get(column).filter(|_| !changed.contains(&column.as_str())) {
            assert_ne!(*value, Value::Null, "{column} has no value to be moved");
            assert_eq!(value, moved, "{column} was not moved");
            compared += 1;
        }
    }
    assert!(compared > 12, "{compared} columns compared");
}

/// Finishes a job by a statement that takes its fence and then `params`. Returns it before and after.
async fn finished(statement: &str, params: &[(&(dyn ToSql + Sync), Type)]) -> (Map<String, Value>, Map<String, Value>) {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = Uuid::now_v7();
    let id = add(&client, Some(worker)).await;
    let before = row(&client, "job", id).await;
    let (ids, claims, workers) = (vec![id], vec![41_i32], vec![worker]);
    let mut all: Vec<(&(dyn ToSql + Sync), Type)> =
        vec![(&ids, Type::INT8_ARRAY), (&claims, Type::INT4_ARRAY), (&workers, Type::UUID_ARRAY)];
    all.extend_from_slice(params);
    client.query_typed(statement, &all).await.unwrap();
    (before, row(&client, "job_history", id).await)
}

#[tokio::test]
async fn a_completed_job_keeps_all_that_it_had() {
    let (before, after) =
        finished(include_str!("../../../sql/queries/finish/complete.sql"), &[(&3600_i64, Type::INT8)]).await;
    assert_moved(&before, &after, &[]);
    assert_eq!(after["state"], Value::from("completed"));
}

#[tokio::test]
async fn a_job_that_is_completed_with_an_output_keeps_all_that_it_had() {
    let (before, after) = finished(
        include_str!("../../../sql/queries/finish/complete_with_output.sql"),
        &[(&3600_i64, Type::INT8), (&vec![Value::from(7)], Type::JSONB_ARRAY)],
    )
    .await;
    assert_moved(&before, &after, &[]);
    assert_eq!((&after["output"], &after["state"]), (&Value::from(7), &Value::from("completed")));
}

#[tokio::test]
async fn a_job_that_is_completed_in_a_transaction_keeps_all_that_it_had() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = Uuid::now_v7();
    let id = add(&client, Some(worker)).await;
    let before = row(&client, "job", id).await;
    let complete = "SELECT postrider.complete($1, 41, $2, 3600, '7')";
    let outcome = client.query_one(complete, &[&id, &worker]).await.unwrap();
    assert_eq!(outcome.get::<_, &str>(0), "completed");
    let after = row(&client, "job_history", id).await;
    assert_moved(&before, &after, &[]);
    assert_eq!((&after["output"], &after["state"]), (&Value::from(7), &Value::from("completed")));
}

#[tokio::test]
async fn a_discarded_job_keeps_all_that_it_had() {
    let none = vec![None::<&str>];
    let (before, after) = finished(
        include_str!("../../../sql/queries/finish/finish.sql"),
        &[
            (&vec!["discarded"], Type::TEXT_ARRAY),
            (&vec![3600_i64], Type::INT8_ARRAY),
            (&none, Type::TEXT_ARRAY),
            (&none, Type::TEXT_ARRAY),
        ],
    )
    .await;
    assert_moved(&before, &after, &[]);
    assert_eq!(after["state"], Value::from("discarded"));
}

#[tokio::test]
async fn a_cancelled_job_keeps_all_that_it_had_and_a_retried_one_gets_it_back() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let id = add(&client, None).await;
    client.execute("UPDATE postrider.job SET attempted_by = gen_random_uuid()", &[]).await.unwrap();
    let before = row(&client, "job", id).await;
    postrider::admin::cancel(&client, id).await.unwrap();
    assert_moved(&before, &row(&client, "job_history", id).await, &[]);
    postrider::admin::retry(&client, id).await.unwrap();
    assert_moved(
        &before,
        &row(&client, "job", id).await,
        &[
            "run_at",
            "attempt",
            "failed_at",
            "crash_count",
            "solo_crash_count",
            "awaited",
            "cancel_requested_at",
            "running",
        ],
    );
}

#[tokio::test]
async fn a_job_that_its_worker_died_with_for_the_last_time_keeps_all_that_it_had() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = Uuid::now_v7();
    register(&client, worker).await;
    let id = add(&client, Some(worker)).await;
    let before = row(&client, "job", id).await;
    let heartbeat_at: chrono::DateTime<chrono::Utc> =
        client.query_one("SELECT heartbeat_at FROM postrider.worker", &[]).await.unwrap().get(0);
    client
        .query_typed(
            include_str!("../../../sql/queries/worker/rescue_worker.sql"),
            &[(&worker, Type::UUID), (&heartbeat_at, Type::TIMESTAMPTZ), (&3600_i64, Type::INT8), (&true, Type::BOOL)],
        )
        .await
        .unwrap();
    assert_moved(&before, &row(&client, "job_history", id).await, &["errors", "crash_count"]);
}
