//! Retry, cancel, pause, resume.

use crate::database::Queryable;
use crate::job::{JobId, JobRecord, State, check_queue};
use crate::worker::Retention;
use crate::{Error, store};

/// How often to look again at a job that moved between two statements.
const LOOKS: u32 = 5;

/// Makes a waiting job due now, or brings a finished one back with a fresh budget.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] while it is running; [`Error::KeyTaken`] where
/// another unfinished job now has its unique key.
pub async fn retry(client: &impl Queryable, id: JobId) -> Result<JobRecord, Error> {
    for _ in 0..LOOKS {
        let found = back(client, id, Which::Any).await?;
        let job = store::lookup::find_job(client.raw(), id).await?.ok_or(Error::NotFound(id))?;
        if found {
            return Ok(job);
        }
        if job.state == State::Running {
            return Err(Error::Forbidden { id, state: job.state, verb: "retried" });
        }
    }
    Err(Error::NotFound(id))
}

/// As [`retry`], but only where the job's latest finished attempt failed and it is not running:
/// for jobs from a list that may be a moment old. Tells whether it was so.
///
/// # Errors
/// [`Error::KeyTaken`] where another unfinished job now has its unique key.
pub async fn retry_failed(client: &impl Queryable, id: JobId) -> Result<bool, Error> {
    back(client, id, Which::OnlyFailed).await
}

/// Cancels a waiting job at once, or asks the worker of a running one to stop it.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] when it has finished.
pub async fn cancel(client: &impl Queryable, id: JobId) -> Result<JobRecord, Error> {
    let retention = Retention::default().cancelled_seconds();
    for _ in 0..LOOKS {
        let waiting = match store::control::cancel_waiting(client.raw(), id, retention).await {
            // No worker has run for so long that the history has no partition for today.
            Err(error) if error.sqlstate() == Some(store::history::NO_PARTITION) => {
                store::history::make_partition_for(client.raw(), retention).await?;
                continue;
            }
            waiting => waiting?,
        };
        let found = waiting || store::control::cancel_running(client.raw(), id).await?;
        let job = store::lookup::find_job(client.raw(), id).await?.ok_or(Error::NotFound(id))?;
        if found {
            return Ok(job);
        }
        if job.state.is_finished() {
            return Err(Error::Forbidden { id, state: job.state, verb: "cancelled" });
        }
    }
    Err(Error::NotFound(id))
}

/// Stops the claiming of a queue's jobs, everywhere; running ones go on. Lasts until
/// [`resume`], also over restarts.
///
/// # Errors
/// [`Error::Invalid`] for a bad name, [`Error::Database`].
pub async fn pause(client: &impl Queryable, queue: &str) -> Result<(), Error> {
    check_queue(queue)?;
    store::control::pause_queue(client.raw(), queue).await
}

/// Undoes [`pause`].
///
/// # Errors
/// As [`pause`].
pub async fn resume(client: &impl Queryable, queue: &str) -> Result<(), Error> {
    check_queue(queue)?;
    store::control::resume_queue(client.raw(), queue).await
}

/// Which jobs are brought back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Any,
    OnlyFailed,
}

/// Whether the job was waiting or finished, and now is due.
async fn back(client: &impl Queryable, id: JobId, which: Which) -> Result<bool, Error> {
    let only_failed = which == Which::OnlyFailed;
    if store::control::retry_unfinished(client.raw(), id, only_failed).await? {
        return Ok(true);
    }
    match store::control::retry_finished(client.raw(), id, only_failed).await {
        Ok(found) => Ok(found),
        Err(error) => Err(key_taken(client, id, error).await),
    }
}

async fn key_taken(client: &impl Queryable, id: JobId, error: Error) -> Error {
    let Error::Database(cause) = &error else { return error };
    if cause.as_db_error().and_then(|db| db.constraint()) != Some("job_unique_key") {
        return error;
    }
    let unique_key = store::lookup::unique_key_of(client.raw(), id).await.ok().flatten().unwrap_or_default();
    Error::KeyTaken { id, unique_key }
}
