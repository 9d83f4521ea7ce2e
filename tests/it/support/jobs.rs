//! Jobs in states that only a worker brings about, written as it would write them.

use postrider::{Args, Enqueued, JobId, NewJob};
use tokio_postgres::Client;

/// The ids of enqueued jobs.
pub fn ids_of(enqueued: Vec<Enqueued>) -> Vec<JobId> {
    enqueued.into_iter().map(|job| job.id).collect()
}

/// A job of this kind, just enqueued.
pub async fn waiting(client: &Client, kind: &str) -> JobId {
    let job = NewJob::new(kind, Args::default()).unwrap();
    postrider::enqueue::enqueue_job(client, job).await.unwrap().id
}

/// A job whose first attempt failed with this error, to be tried again in an hour.
pub async fn retryable(client: &Client, kind: &str, error: &str) -> JobId {
    let id = waiting(client, kind).await;
    let changed = client
        .execute(
            "UPDATE postrider.job SET attempt = 1, claim = 1, attempted_at = now(), attempted_by = gen_random_uuid(),
                 failed_at = clock_timestamp(), run_at = now() + interval '1 hour',
                 errors = postrider.append_error('[]', 1, $2, 'the trace')
             WHERE id = $1",
            &[&id, &error],
        )
        .await
        .unwrap();
    assert_eq!(changed, 1);
    id
}

/// A job that a worker holds.
pub async fn running(client: &Client, kind: &str) -> JobId {
    let id = waiting(client, kind).await;
    client
        .execute(
            "UPDATE postrider.job SET running = true, attempt = 1, claim = 1, attempted_at = now(),
                 attempted_by = gen_random_uuid() WHERE id = $1",
            &[&id],
        )
        .await
        .unwrap();
    id
}

/// A job that has ended in this state after three attempts and seven claims.
pub async fn finished(client: &Client, kind: &str, state: &str) -> JobId {
    let id = waiting(client, kind).await;
    let moved = client
        .execute(
            "WITH gone AS (DELETE FROM postrider.job WHERE id = $1 RETURNING *)
             INSERT INTO postrider.job_history (id, run_at, created_at, attempted_at, finished_at, attempted_by,
                 expires_on, claim, attempt, max_attempts, priority, crash_count, state, queue, kind, args, errors, unique_key)
             SELECT id, run_at, created_at, now(), clock_timestamp(), gen_random_uuid(),
                 postrider.expires_on(86400), 7, 3, 3, priority, crash_count, $2::text::postrider.final_state, queue, kind, args,
                 CASE WHEN $2 = 'discarded' THEN postrider.append_error('[]', 3, 'gave up', NULL) END, unique_key
             FROM gone",
            &[&id, &state],
        )
        .await
        .unwrap();
    assert_eq!(moved, 1);
    id
}

/// Gives a job a unique key.
pub async fn set_key(client: &Client, id: JobId, key: &str) {
    for table in ["job", "job_history"] {
        client
            .execute(&format!("UPDATE postrider.{table} SET unique_key = $2 WHERE id = $1"), &[&id, &key])
            .await
            .unwrap();
    }
}

/// The number that a query returns.
pub async fn count(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}
