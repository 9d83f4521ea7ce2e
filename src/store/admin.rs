//! The statements of `admin`: retry, cancel, pause, resume. Each calls the function in the database that does it.

use tokio_postgres::types::Type;

use crate::error::Error;
use crate::job::JobId;
use crate::postgres::{Queryable, Statements};
use crate::sql::sql;

/// What `postrider.retry` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryOutcome {
    Retried,
    /// It runs, so nothing was changed.
    Running,
    /// Only a failed job was asked for, and its latest finished attempt did not fail.
    NotFailed,
    /// Another unfinished job has its unique key.
    KeyTaken,
    NotFound,
}

/// What `postrider.cancel` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelOutcome {
    Cancelled,
    /// It runs, so its worker is asked to stop it.
    CancelRequested,
    /// It has finished, so nothing was changed.
    Finished,
    NotFound,
}

impl RetryOutcome {
    fn read(outcome: &str) -> Result<Self, Error> {
        Ok(match outcome {
            "retried" => Self::Retried,
            "running" => Self::Running,
            "not_failed" => Self::NotFailed,
            "key_taken" => Self::KeyTaken,
            "not_found" => Self::NotFound,
            other => return Err(unknown(other)),
        })
    }
}

impl CancelOutcome {
    fn read(outcome: &str) -> Result<Self, Error> {
        Ok(match outcome {
            "cancelled" => Self::Cancelled,
            "cancel_requested" => Self::CancelRequested,
            "finished" => Self::Finished,
            "not_found" => Self::NotFound,
            other => return Err(unknown(other)),
        })
    }
}

fn unknown(outcome: &str) -> Error {
    Error::invalid("outcome", format!("is {outcome:?}, which this release does not know"))
}

/// Makes a waiting job due, or moves a finished one back to its queue.
pub(crate) async fn retry(client: &impl Queryable, id: JobId) -> Result<RetryOutcome, Error> {
    let row = Statements::on(client).query_typed_one(sql!("admin/retry"), &[(&id, Type::INT8)]).await?;
    RetryOutcome::read(row.try_get("outcome")?)
}

/// The same for jobs whose latest finished attempt failed. The others stay as they are.
pub(crate) async fn retry_failed(client: &impl Queryable, ids: &[JobId]) -> Result<Vec<(JobId, RetryOutcome)>, Error> {
    let rows = Statements::on(client).query_typed(sql!("admin/retry_failed"), &[(&ids, Type::INT8_ARRAY)]).await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, RetryOutcome::read(row.try_get("outcome")?)?))).collect()
}

/// Cancels a waiting job, or requests the cancel of a running one.
pub(crate) async fn cancel(client: &impl Queryable, id: JobId) -> Result<CancelOutcome, Error> {
    let row = Statements::on(client).query_typed_one(sql!("admin/cancel"), &[(&id, Type::INT8)]).await?;
    CancelOutcome::read(row.try_get("outcome")?)
}

/// Returns whether the queue was not paused before.
pub(crate) async fn pause(client: &impl Queryable, queue: &str) -> Result<bool, Error> {
    Ok(Statements::on(client).query_typed_one(sql!("admin/pause"), &[(&queue, Type::TEXT)]).await?.try_get(0)?)
}

/// Returns whether the queue was paused.
pub(crate) async fn resume(client: &impl Queryable, queue: &str) -> Result<bool, Error> {
    Ok(Statements::on(client).query_typed_one(sql!("admin/resume"), &[(&queue, Type::TEXT)]).await?.try_get(0)?)
}
