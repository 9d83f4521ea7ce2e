//! Any number of jobs, by COPY.

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::job::NewJob;
use crate::postgres::InTransaction;
use crate::store;

/// Enqueues any number of jobs by COPY, in bounded memory. Returns their number. Runs in the caller's transaction, so
/// that rows and notifications commit together.
///
/// ```no_run
/// # use postrider::Job;
/// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
/// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
/// # async fn example(mut client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// use postrider::NewJob;
///
/// let tx = client.transaction().await?;
/// let jobs = (0..1_000_000).map(|n| NewJob::of(&SendMail { to: format!("{n}@example.org") }));
/// postrider::enqueue_copy(&tx, jobs).await?;
/// tx.commit().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Invalid`] for a job with a unique key, which COPY cannot check, and any error among the items of `jobs`.
/// The transaction cannot be used after that. [`Error::Database`].
pub async fn enqueue_copy(
    tx: &impl InTransaction,
    jobs: impl IntoIterator<Item = Result<NewJob, Error>>,
) -> Result<u64, Error> {
    let now = store::enqueue::database_now(tx).await?;
    let without_keys = jobs.into_iter().map(|job| {
        job.and_then(|job| match job.unique_key {
            Some(_) => Err(Error::invalid("unique_key", "cannot be used with copy")),
            None => Ok(job),
        })
    });
    // The earliest due time per queue: bounded by the number of queues, not of jobs.
    let mut first_due = std::collections::HashMap::<String, DateTime<Utc>>::new();
    let count = store::enqueue::copy_jobs(tx, without_keys, now, |job, run_at| match first_due.get_mut(&job.queue) {
        Some(due) => *due = run_at.min(*due),
        None => drop(first_due.insert(job.queue.clone(), run_at)),
    })
    .await?;
    let (queues, run_ats): (Vec<&str>, Vec<DateTime<Utc>>) =
        first_due.iter().map(|(queue, due)| (queue.as_str(), *due)).unzip();
    store::enqueue::announce(tx, &queues, &run_ats).await?;
    Ok(count)
}
