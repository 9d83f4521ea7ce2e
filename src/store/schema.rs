//! Which migrations a database has, and the lock under which they are applied.

use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use super::sql;
use crate::Error;

/// Takes the lock of migrators for the session, if it is free.
pub(crate) async fn try_migration_lock(client: &impl GenericClient) -> Result<bool, Error> {
    Ok(client.query_typed_one(sql!("try_migration_lock"), &[]).await?.try_get(0)?)
}

/// Bounds, for the session, what a migration may wait for locks and how long it may run.
pub(crate) async fn limit_migration(client: &impl GenericClient, lock_ms: u32, total_ms: u32) -> Result<(), Error> {
    let (lock, total) = (lock_ms.to_string(), total_ms.to_string());
    client.query_typed(sql!("limit_migration"), &[(&lock, Type::TEXT), (&total, Type::TEXT)]).await?;
    Ok(())
}

pub(crate) async fn table_exists(client: &impl GenericClient, table: &str) -> Result<bool, Error> {
    Ok(client.query_typed_one(sql!("table_exists"), &[(&table, Type::TEXT)]).await?.try_get(0)?)
}

/// The newest version applied of the queue's set, 0 for none.
pub(crate) async fn queue_version(client: &impl GenericClient) -> Result<i32, Error> {
    Ok(client.query_typed_one(sql!("queue_schema_version"), &[]).await?.try_get(0)?)
}

/// The newest version applied of the app's set, 0 for none.
#[cfg(feature = "app")]
pub(crate) async fn app_version(client: &impl GenericClient) -> Result<i32, Error> {
    Ok(client.query_typed_one(sql!("app_schema_version"), &[]).await?.try_get(0)?)
}
