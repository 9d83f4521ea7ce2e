//! The statements of tablos.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::sql;
use crate::app::tablos::Tablo;
use crate::error::Error;
use crate::job::StoredTime;
use crate::postgres::{Queryable, Statements};

/// Returns `None` if the id is taken.
pub(in crate::app) async fn create_tablo(tx: &Client, id: Uuid, name: &str) -> Result<Option<Tablo>, Error> {
    let row = tx.query_typed_opt(sql!("create_tablo"), &[(&id, Type::UUID), (&name, Type::TEXT)]).await?;
    row.as_ref().map(tablo).transpose()
}

pub(in crate::app) async fn find_tablo(tx: &impl Queryable<Raw = Client>, id: Uuid) -> Result<Option<Tablo>, Error> {
    let row = Statements::on(tx).query_typed_opt(sql!("find_tablo"), &[(&id, Type::UUID)]).await?;
    row.as_ref().map(tablo).transpose()
}

/// Returns whether the tablo existed.
pub(in crate::app) async fn delete_tablo(tx: &Client, id: Uuid) -> Result<bool, Error> {
    Ok(tx.execute_typed(sql!("delete_tablo"), &[(&id, Type::UUID)]).await? > 0)
}

/// Returns whether the tablo exists.
pub(in crate::app) async fn lock_tablo(tx: &Client, id: Uuid) -> Result<bool, Error> {
    Ok(tx.query_typed_opt(sql!("lock_tablo"), &[(&id, Type::UUID)]).await?.is_some())
}

fn tablo(row: &Row) -> Result<Tablo, Error> {
    Ok(Tablo {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        created_at: row.try_get::<_, StoredTime>("created_at")?.0,
    })
}
