//! Retry, cancel, pause, resume: each is one call of a function in the database, which programs in any language call.
//!
//! Promises: a running job is not changed, except that its cancel is requested. A retry keeps the claim number, so that
//! the fences of former attempts do not hold. A change and its notification commit together. No function waits for a
//! worker.

use crate::error::Error;
use crate::job::{JobId, JobRecord, State, check_queue};
use crate::postgres::Queryable;
use crate::store;
use crate::store::admin::{CancelOutcome, RetryOutcome};

/// Makes a waiting job due now, or moves a finished one back to its queue with its attempts reset.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// let job = postrider::admin::retry(&client, 7).await?;
/// println!("job {} is due at {}", job.id, job.run_at);
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] while it is running; [`Error::KeyTaken`] if another unfinished job
/// has its unique key.
pub async fn retry(client: &impl Queryable, id: JobId) -> Result<JobRecord, Error> {
    match store::admin::retry(client, id).await? {
        RetryOutcome::Retried => store::read::find_job(client, id).await?.ok_or(Error::NotFound(id)),
        RetryOutcome::Running => Err(Error::InvalidState { id, state: State::Running, verb: "retried" }),
        RetryOutcome::KeyTaken => Err(key_taken(client, id).await),
        RetryOutcome::NotFailed | RetryOutcome::NotFound => Err(Error::NotFound(id)),
    }
}

/// As [`retry`], but only if the job's latest finished attempt failed and it is not running. For jobs of a list that
/// may be slightly out of date. Returns whether the job is due now.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// if !postrider::admin::retry_failed(&client, 7).await? {
///     println!("job 7 runs already, or did not fail");
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::KeyTaken`] if another unfinished job has its unique key.
pub async fn retry_failed(client: &impl Queryable, id: JobId) -> Result<bool, Error> {
    match store::admin::retry_failed(client, &[id]).await?.pop() {
        Some((_, RetryOutcome::KeyTaken)) => Err(key_taken(client, id).await),
        outcome => Ok(outcome == Some((id, RetryOutcome::Retried))),
    }
}

/// The result of a bulk retry.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// let result = postrider::admin::retry_failed_many(&client, &[7, 8]).await?;
/// for id in result.key_taken {
///     println!("another unfinished job has the unique key of job {id}");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct RetriedMany {
    /// Jobs that are due now.
    pub retried: Vec<JobId>,
    /// Jobs whose unique key another unfinished job has by now. They are unchanged.
    pub key_taken: Vec<JobId>,
}

/// As [`retry_failed`], for up to a few thousand jobs in one statement. Jobs in neither list are already running again,
/// have succeeded, or do not exist.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// use postrider::admin::{self, FailedFilter};
///
/// let failed = admin::failed(&client, &FailedFilter::default()).await?;
/// let ids: Vec<_> = failed.iter().map(|(_, job)| job.id).collect();
/// println!("{} are due again", admin::retry_failed_many(&client, &ids).await?.retried.len());
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Database`].
pub async fn retry_failed_many(client: &impl Queryable, ids: &[JobId]) -> Result<RetriedMany, Error> {
    let mut result = RetriedMany::default();
    for (id, outcome) in store::admin::retry_failed(client, ids).await? {
        match outcome {
            RetryOutcome::Retried => result.retried.push(id),
            RetryOutcome::KeyTaken => result.key_taken.push(id),
            RetryOutcome::Running | RetryOutcome::NotFailed | RetryOutcome::NotFound => {}
        }
    }
    Ok(result)
}

/// Cancels a waiting job now, or asks the worker of a running one to stop it. The cancelled job has the retention that
/// the workers of its queue use, or 24 h without a worker.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// let job = postrider::admin::cancel(&client, 7).await?;
/// // A running job is cancelled once its worker has stopped it.
/// println!("job {} is {}", job.id, job.state);
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] when it has finished.
pub async fn cancel(client: &impl Queryable, id: JobId) -> Result<JobRecord, Error> {
    let outcome = store::admin::cancel(client, id).await?;
    let job = store::read::find_job(client, id).await?.ok_or(Error::NotFound(id))?;
    match outcome {
        CancelOutcome::Cancelled | CancelOutcome::CancelRequested => Ok(job),
        CancelOutcome::Finished => Err(Error::InvalidState { id, state: job.state, verb: "cancelled" }),
        CancelOutcome::NotFound => Err(Error::NotFound(id)),
    }
}

/// Pauses a queue: no worker claims its jobs, and running ones continue. Lasts until [`resume`], also across restarts.
/// Returns whether it was not paused before.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// postrider::admin::pause(&client, "mail").await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Invalid`] for a bad name, [`Error::Database`].
pub async fn pause(client: &impl Queryable, queue: &str) -> Result<bool, Error> {
    check_queue(queue)?;
    store::admin::pause(client, queue).await
}

/// Resumes a paused queue. Returns whether it was paused.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// postrider::admin::resume(&client, "mail").await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`pause`].
pub async fn resume(client: &impl Queryable, queue: &str) -> Result<bool, Error> {
    check_queue(queue)?;
    store::admin::resume(client, queue).await
}

/// The error of a retry whose unique key is taken.
async fn key_taken(client: &impl Queryable, id: JobId) -> Error {
    match store::read::unique_key_of(client, id).await {
        Ok(unique_key) => Error::KeyTaken { id, unique_key: unique_key.unwrap_or_default() },
        Err(error) => error,
    }
}
