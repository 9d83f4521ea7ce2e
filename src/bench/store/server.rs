//! What the server says about itself and about what it has done.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::sql;
use crate::Error;

/// Its version, and whether it is on the same host.
pub(in crate::bench) async fn server(client: &Client) -> Result<(String, bool), Error> {
    let row = client.query_typed_one(sql!("server"), &[]).await?;
    Ok((row.try_get("version")?, row.try_get("is_here")?))
}

/// Settings with their values, in the order asked for.
pub(in crate::bench) async fn settings(
    client: &Client,
    names: &[&str],
) -> Result<Vec<(String, Option<String>)>, Error> {
    let rows = client.query_typed(sql!("settings"), &[(&names, Type::TEXT_ARRAY)]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The least that a statement takes.
pub(in crate::bench) async fn round_trip(client: &Client) -> Result<(), Error> {
    client.query_typed_one(sql!("round_trip"), &[]).await?;
    Ok(())
}

pub(in crate::bench) async fn wal_position(client: &Client) -> Result<i64, Error> {
    Ok(client.query_typed_one(sql!("wal_position"), &[]).await?.try_get(0)?)
}

/// Transactions so far in the database. To be asked from another one, so as not to be counted.
pub(in crate::bench) async fn transactions(client: &Client, database: &str) -> Result<i64, Error> {
    Ok(client.query_typed_one(sql!("transactions"), &[(&database, Type::TEXT)]).await?.try_get(0)?)
}

/// Sessions in this database, our own included.
pub(in crate::bench) async fn sessions(client: &Client) -> Result<i64, Error> {
    Ok(client.query_typed_one(sql!("sessions"), &[]).await?.try_get(0)?)
}

/// Dead rows that the queue's tables have got so far. Complete for sessions that have ended.
pub(in crate::bench) async fn dead_rows(client: &Client) -> Result<i64, Error> {
    Ok(client.query_typed_one(sql!("dead_rows"), &[]).await?.try_get(0)?)
}

/// Bytes of the hot table, and of its indexes.
pub(in crate::bench) async fn sizes(client: &Client) -> Result<(i64, i64), Error> {
    let row = client.query_typed_one(sql!("sizes"), &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
