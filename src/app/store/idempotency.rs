//! The statements of idempotency keys.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::sql;
use crate::error::Error;
use crate::job::Enqueued;

/// An earlier use of a key.
pub(in crate::app) struct Use {
    pub same_request: bool,
    /// Set in the transaction that reserved the key.
    pub enqueued: Enqueued,
    pub response: String,
}

/// Returns whether this request reserved the key. Waits for a transaction that holds it.
pub(in crate::app) async fn reserve_key(tx: &Client, key: &str, request: &str) -> Result<bool, Error> {
    let params = [(&key as _, Type::TEXT), (&request as _, Type::TEXT)];
    Ok(tx.query_typed_opt(sql!("idempotency_reserve"), &params).await?.is_some())
}

pub(in crate::app) async fn find_key(tx: &Client, key: &str, request: &str) -> Result<Option<Use>, Error> {
    let params = [(&key as _, Type::TEXT), (&request as _, Type::TEXT)];
    let row = tx.query_typed_opt(sql!("idempotency_find"), &params).await?;
    row.map(|row| {
        Ok(Use {
            same_request: row.try_get("same_request")?,
            enqueued: Enqueued { id: row.try_get("job_id")?, outcome: row.try_get::<_, &str>("outcome")?.parse()? },
            response: row.try_get("response")?,
        })
    })
    .transpose()
}

pub(in crate::app) async fn record_answer(
    tx: &Client,
    key: &str,
    enqueued: Enqueued,
    response: &str,
) -> Result<(), Error> {
    let outcome = enqueued.outcome.as_str();
    let params = [
        (&key as _, Type::TEXT),
        (&enqueued.id as _, Type::INT8),
        (&response as _, Type::TEXT),
        (&outcome as _, Type::TEXT),
    ];
    tx.execute_typed(sql!("idempotency_record"), &params).await?;
    Ok(())
}

pub(in crate::app) async fn clean_keys(tx: &Client) -> Result<(), Error> {
    tx.execute_typed(sql!("idempotency_clean"), &[]).await?;
    Ok(())
}
