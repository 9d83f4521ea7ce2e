//! Tablos.

use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use super::sql;
use crate::Error;
use crate::app::tablos::Tablo;

/// `None` where the id is taken.
pub(in crate::app) async fn create_tablo(tx: &Transaction<'_>, id: Uuid, name: &str) -> Result<Option<Tablo>, Error> {
    let row = tx.query_typed_opt(sql!("create_tablo"), &[(&id, Type::UUID), (&name, Type::TEXT)]).await?;
    row.as_ref().map(tablo).transpose()
}

pub(in crate::app) async fn find_tablo(tx: &Transaction<'_>, id: Uuid) -> Result<Option<Tablo>, Error> {
    let row = tx.query_typed_opt(sql!("find_tablo"), &[(&id, Type::UUID)]).await?;
    row.as_ref().map(tablo).transpose()
}

/// Whether there was one.
pub(in crate::app) async fn delete_tablo(tx: &Transaction<'_>, id: Uuid) -> Result<bool, Error> {
    Ok(tx.execute_typed(sql!("delete_tablo"), &[(&id, Type::UUID)]).await? > 0)
}

/// Whether there is one.
pub(in crate::app) async fn lock_tablo(tx: &Transaction<'_>, id: Uuid) -> Result<bool, Error> {
    Ok(tx.query_typed_opt(sql!("lock_tablo"), &[(&id, Type::UUID)]).await?.is_some())
}

fn tablo(row: &Row) -> Result<Tablo, Error> {
    Ok(Tablo { id: row.try_get("id")?, name: row.try_get("name")?, created_at: row.try_get("created_at")? })
}
