//! The statements that begin, limit and end a transaction, or limit a session.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient};

use crate::error::Error;
use crate::sql::sql;

pub(crate) async fn begin(client: &Client) -> Result<(), Error> {
    Ok(client.batch_execute(sql!("transaction/begin")).await?)
}

/// Limits each statement of the transaction, and each wait for a lock, on the server. In ms.
pub(crate) async fn limit_transaction(tx: &impl GenericClient, statement_ms: u32, lock_ms: u32) -> Result<(), Error> {
    let (statement, lock) = (statement_ms.to_string(), lock_ms.to_string());
    tx.query_typed(sql!("transaction/limit_transaction"), &[(&statement, Type::TEXT), (&lock, Type::TEXT)]).await?;
    Ok(())
}

/// The same for the rest of a session.
pub(crate) async fn limit_session(client: &Client, statement_ms: u32, lock_ms: u32) -> Result<(), Error> {
    let (statement, lock) = (statement_ms.to_string(), lock_ms.to_string());
    client.query_typed(sql!("session/limit_session"), &[(&statement, Type::TEXT), (&lock, Type::TEXT)]).await?;
    Ok(())
}

pub(crate) async fn commit(client: &Client) -> Result<(), Error> {
    Ok(client.batch_execute(sql!("transaction/commit")).await?)
}

/// Fails if the transaction has failed.
pub(crate) async fn commit_unless_failed(client: &Client) -> Result<(), Error> {
    Ok(client.batch_execute(sql!("transaction/commit_unless_failed")).await?)
}

pub(crate) async fn roll_back(client: &Client) -> Result<(), Error> {
    Ok(client.batch_execute(sql!("transaction/roll_back")).await?)
}

#[cfg(feature = "testing")]
pub(super) async fn savepoint(tx: &Client) -> Result<(), Error> {
    Ok(tx.batch_execute(sql!("transaction/savepoint")).await?)
}

#[cfg(feature = "testing")]
pub(super) async fn release_savepoint(tx: &Client) -> Result<(), Error> {
    Ok(tx.batch_execute(sql!("transaction/release_savepoint")).await?)
}

#[cfg(feature = "testing")]
pub(super) async fn roll_back_to_savepoint(tx: &Client) -> Result<(), Error> {
    Ok(tx.batch_execute(sql!("transaction/roll_back_to_savepoint")).await?)
}
