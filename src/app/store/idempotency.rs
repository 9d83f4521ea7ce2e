//! Idempotency keys.

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::sql;
use crate::{Error, JobId};

/// What a key was used for.
pub(in crate::app) struct Use {
    pub same_request: bool,
    /// Set in the transaction that took the key.
    pub job_id: JobId,
    pub response: String,
}

/// Whether the key is this request's. Waits for a transaction that has it.
pub(in crate::app) async fn reserve_key(tx: &Transaction<'_>, key: &str, request: &[u8]) -> Result<bool, Error> {
    let params = [(&key as _, Type::TEXT), (&request as _, Type::BYTEA)];
    Ok(tx.query_typed_opt(sql!("idempotency_reserve"), &params).await?.is_some())
}

pub(in crate::app) async fn find_key(tx: &Transaction<'_>, key: &str, request: &[u8]) -> Result<Option<Use>, Error> {
    let params = [(&key as _, Type::TEXT), (&request as _, Type::BYTEA)];
    let row = tx.query_typed_opt(sql!("idempotency_find"), &params).await?;
    row.map(|row| {
        Ok(Use {
            same_request: row.try_get("same_request")?,
            job_id: row.try_get("job_id")?,
            response: row.try_get("response")?,
        })
    })
    .transpose()
}

pub(in crate::app) async fn record_answer(
    tx: &Transaction<'_>,
    key: &str,
    job_id: JobId,
    response: &str,
) -> Result<(), Error> {
    let params = [(&key as _, Type::TEXT), (&job_id as _, Type::INT8), (&response as _, Type::TEXT)];
    tx.execute_typed(sql!("idempotency_record"), &params).await?;
    Ok(())
}

pub(in crate::app) async fn clean_keys(tx: &Transaction<'_>) -> Result<(), Error> {
    tx.execute_typed(sql!("idempotency_clean"), &[]).await?;
    Ok(())
}
