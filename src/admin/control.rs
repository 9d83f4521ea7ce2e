//! Retry, cancel, pause, resume.
//!
//! Promises: a running job is not changed, except that its cancel is requested. A retry keeps the claim number, so that
//! the fences of former attempts do not hold. A change and its notification commit together. No function waits for a
//! worker.

use crate::error::Error;
use crate::job::Retention;
use crate::job::{JobId, JobRecord, State, check_queue};
use crate::postgres::Queryable;
use crate::store;

/// The number of tries for a job that changes state between two statements.
const MAX_TRIES: u32 = 5;

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
    for _ in 0..MAX_TRIES {
        let found = back(client, id, Which::Any).await?;
        let job = store::read::find_job(client, id).await?.ok_or(Error::NotFound(id))?;
        if found {
            return Ok(job);
        }
        if job.state == State::Running {
            return Err(Error::InvalidState { id, state: job.state, verb: "retried" });
        }
    }
    Err(Error::NotFound(id))
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
    back(client, id, Which::OnlyFailed).await
}

/// The result of a bulk retry.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// let result = postrider::admin::retry_failed_many(&client, &[7, 8]).await?;
/// for id in result.keyed {
///     postrider::admin::retry_failed(&client, id).await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct RetriedMany {
    /// Jobs that are due now.
    pub retried: Vec<JobId>,
    /// Jobs with a unique key that another job may hold by now. Retry them one by one.
    pub keyed: Vec<JobId>,
}

/// As [`retry_failed`], for up to a few thousand jobs in three statements. Jobs in neither list are already running
/// again or have succeeded.
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
    let mut retried = store::admin::retry_unfinished(client, ids, true).await?;
    let mut finished: Vec<JobId> = ids.iter().copied().filter(|id| !retried.contains(id)).collect();
    let mut keyed = Vec::new();
    if !finished.is_empty() {
        keyed.extend(store::read::unique_keys_of(client, &finished).await?.into_iter().map(|(id, _)| id));
        finished.retain(|id| !keyed.contains(id));
        retried.extend(store::admin::retry_finished(client, &finished, true).await?);
    }
    Ok(RetriedMany { retried, keyed })
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
    let default = Retention::default().cancelled_seconds();
    for _ in 0..MAX_TRIES {
        let retention = store::admin::cancelled_retention(client, id).await?.unwrap_or(default);
        // If no worker has run for a while, the history may lack the partition.
        store::history::make_partition_in(client, retention).await?;
        let waiting = store::admin::cancel_waiting(client, id, retention).await?;
        let found = waiting || store::admin::cancel_running(client, id).await?;
        let job = store::read::find_job(client, id).await?.ok_or(Error::NotFound(id))?;
        if found {
            return Ok(job);
        }
        if job.state.is_finished() {
            return Err(Error::InvalidState { id, state: job.state, verb: "cancelled" });
        }
    }
    Err(Error::NotFound(id))
}

/// Pauses a queue: no worker claims its jobs, and running ones continue. Lasts until [`resume`], also across restarts.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// postrider::admin::pause(&client, "mail").await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Invalid`] for a bad name, [`Error::Database`].
pub async fn pause(client: &impl Queryable, queue: &str) -> Result<(), Error> {
    check_queue(queue)?;
    store::admin::pause_queue(client, queue).await
}

/// Resumes a paused queue.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// postrider::admin::resume(&client, "mail").await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`pause`].
pub async fn resume(client: &impl Queryable, queue: &str) -> Result<(), Error> {
    check_queue(queue)?;
    store::admin::resume_queue(client, queue).await
}

/// Which jobs [`back`] retries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Any,
    OnlyFailed,
}

/// Retries a waiting or finished job. Returns whether it is due now.
async fn back(client: &impl Queryable, id: JobId, which: Which) -> Result<bool, Error> {
    let only_failed = which == Which::OnlyFailed;
    if !store::admin::retry_unfinished(client, &[id], only_failed).await?.is_empty() {
        return Ok(true);
    }
    // Read first: in a failed transaction, no query succeeds.
    let unique_key = store::read::unique_keys_of(client, &[id]).await?.pop().map(|(_, key)| key);
    match store::admin::retry_finished(client, &[id], only_failed).await {
        Ok(found) => Ok(!found.is_empty()),
        Err(Error::Database(cause)) if cause.as_db_error().and_then(|db| db.constraint()) == Some("job_unique_key") => {
            Err(Error::KeyTaken { id, unique_key: unique_key.unwrap_or_default(), source: cause })
        }
        Err(error) => Err(error),
    }
}
