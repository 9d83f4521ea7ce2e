//! The statements of `admin`: retry, cancel, pause, resume.

use tokio_postgres::types::Type;

use crate::error::Error;
use crate::job::JobId;
use crate::postgres::{Queryable, Statements};
use crate::sql::sql;

/// Makes waiting jobs due. Returns their ids.
pub(crate) async fn retry_unfinished(
    client: &impl Queryable,
    ids: &[JobId],
    only_failed: bool,
) -> Result<Vec<JobId>, Error> {
    let params = [(&ids as _, Type::INT8_ARRAY), (&only_failed as _, Type::BOOL)];
    let rows = Statements::on(client).query_typed(sql!("admin/retry_unfinished"), &params).await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// Moves finished jobs back to their queues. Returns their ids.
pub(crate) async fn retry_finished(
    client: &impl Queryable,
    ids: &[JobId],
    only_failed: bool,
) -> Result<Vec<JobId>, Error> {
    let params = [(&ids as _, Type::INT8_ARRAY), (&only_failed as _, Type::BOOL)];
    let rows = Statements::on(client).query_typed(sql!("admin/retry_finished"), &params).await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// The retention of a cancelled job in seconds, as registered by a worker of its queue. None without such a worker.
pub(crate) async fn cancelled_retention(client: &impl Queryable, id: JobId) -> Result<Option<i64>, Error> {
    let row = Statements::on(client).query_typed_opt(sql!("admin/cancelled_retention"), &[(&id, Type::INT8)]).await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

/// Cancels a waiting job. Returns whether it was waiting.
pub(crate) async fn cancel_waiting(client: &impl Queryable, id: JobId, retention_seconds: i64) -> Result<bool, Error> {
    let params = [(&id as _, Type::INT8), (&retention_seconds as _, Type::INT8)];
    Ok(Statements::on(client).query_typed_opt(sql!("admin/cancel_waiting"), &params).await?.is_some())
}

/// Requests the cancel of a running job. Returns whether it was running.
pub(crate) async fn cancel_running(client: &impl Queryable, id: JobId) -> Result<bool, Error> {
    Ok(Statements::on(client).query_typed_opt(sql!("admin/cancel_running"), &[(&id, Type::INT8)]).await?.is_some())
}

pub(crate) async fn pause_queue(client: &impl Queryable, queue: &str) -> Result<(), Error> {
    Statements::on(client).query_typed(sql!("admin/pause_queue"), &[(&queue, Type::TEXT)]).await?;
    Ok(())
}

pub(crate) async fn resume_queue(client: &impl Queryable, queue: &str) -> Result<(), Error> {
    Statements::on(client).query_typed(sql!("admin/resume_queue"), &[(&queue, Type::TEXT)]).await?;
    Ok(())
}
