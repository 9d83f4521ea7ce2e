//! Jobs and workers in the database.

use std::time::{Duration, Instant};

use postrider::{JobId, JobRecord, State, admin};
use tokio_postgres::Client;

use super::wait::{PATIENCE, until};

/// The job with this id, which must exist.
pub async fn job(client: &Client, id: JobId) -> JobRecord {
    admin::find(client, id).await.expect("find").unwrap_or_else(|| panic!("no job {id}"))
}

/// Waits until the job is in this state.
pub async fn job_becomes(client: &Client, id: JobId, state: State) -> JobRecord {
    let began = Instant::now();
    loop {
        let job = job(client, id).await;
        if job.state == state {
            return job;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: job {id} is {state}; it is {}, attempt {}, {:?}",
            job.state,
            job.attempt,
            job.error
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The first column of the first row, a bigint.
pub async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

/// Waits until a query returns this number.
pub async fn number_becomes(client: &Client, query: &str, wanted: i64) {
    until(&format!("{query} gives {wanted}"), PATIENCE, || async {
        (number(client, query).await == wanted).then_some(())
    })
    .await;
}

/// Waits until so many workers hear notifications: they take their liveness lock before they LISTEN,
/// and tell of it after.
pub async fn workers_listen(client: &Client, count: i64) {
    number_becomes(client, "SELECT count(*) FROM postrider.worker WHERE server_started_at IS NOT NULL", count).await;
}

/// How many jobs are said to be running.
pub async fn running(client: &Client) -> i64 {
    number(client, "SELECT count(*) FROM postrider.job WHERE running").await
}

/// Ends the backends of this database whose `application_name` is like `pattern`; answers with
/// how many.
pub async fn terminate_backends(client: &Client, pattern: &str) -> i64 {
    let query = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE $1";
    client.query_one(query, &[&pattern]).await.expect("terminate").get(0)
}

/// How long after its failure a job is due again, in seconds, by the database's clock.
pub async fn retry_delay(client: &Client, id: JobId) -> f64 {
    let query = "SELECT extract(epoch FROM run_at - failed_at)::double precision FROM postrider.job WHERE id = $1";
    client.query_one(query, &[&id]).await.unwrap().get(0)
}

/// Within the jitter of ± 10 %.
pub fn assert_about(delay: f64, wanted: f64) {
    assert!((delay - wanted).abs() <= wanted * 0.1 + 0.01, "{delay} s, not about {wanted} s");
}
