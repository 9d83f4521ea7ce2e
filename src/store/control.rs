//! What operators change: retry, cancel, pause, resume.

use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use super::sql;
use crate::Error;
use crate::job::JobId;

/// Whether the job was waiting, and now is due.
pub(crate) async fn retry_unfinished(client: &impl GenericClient, id: JobId, only_failed: bool) -> Result<bool, Error> {
    let params = [(&id as _, Type::INT8), (&only_failed as _, Type::BOOL)];
    Ok(client.query_typed_opt(sql!("retry_unfinished"), &params).await?.is_some())
}

/// Whether the job was finished, and now is back.
pub(crate) async fn retry_finished(client: &impl GenericClient, id: JobId, only_failed: bool) -> Result<bool, Error> {
    let params = [(&id as _, Type::INT8), (&only_failed as _, Type::BOOL)];
    Ok(client.query_typed_opt(sql!("retry_finished"), &params).await?.is_some())
}

/// Whether the job was waiting, and now is cancelled.
pub(crate) async fn cancel_waiting(
    client: &impl GenericClient,
    id: JobId,
    retention_seconds: i64,
) -> Result<bool, Error> {
    let params = [(&id as _, Type::INT8), (&retention_seconds as _, Type::INT8)];
    Ok(client.query_typed_opt(sql!("cancel_waiting"), &params).await?.is_some())
}

/// Whether the job was running, and its worker has been asked to stop it.
pub(crate) async fn cancel_running(client: &impl GenericClient, id: JobId) -> Result<bool, Error> {
    Ok(client.query_typed_opt(sql!("cancel_running"), &[(&id, Type::INT8)]).await?.is_some())
}

pub(crate) async fn pause_queue(client: &impl GenericClient, queue: &str) -> Result<(), Error> {
    client.query_typed(sql!("pause_queue"), &[(&queue, Type::TEXT)]).await?;
    Ok(())
}

pub(crate) async fn resume_queue(client: &impl GenericClient, queue: &str) -> Result<(), Error> {
    client.query_typed(sql!("resume_queue"), &[(&queue, Type::TEXT)]).await?;
    Ok(())
}
