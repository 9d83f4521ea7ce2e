//! Statements that read the server's settings and statistics.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::sql;
use crate::error::Error;

/// Returns the server's version, and whether it is on the same host.
pub(in crate::bench) async fn server(client: &Client) -> Result<(String, bool), Error> {
    let row = client.query_typed_one(sql!("server"), &[]).await?;
    Ok((row.try_get("version")?, row.try_get("is_here")?))
}

/// Returns settings and their values in the order of `names`.
pub(in crate::bench) async fn settings(
    client: &Client,
    names: &[&str],
) -> Result<Vec<(String, Option<String>)>, Error> {
    let rows = client.query_typed(sql!("settings"), &[(&names, Type::TEXT_ARRAY)]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Runs the cheapest possible statement.
pub(in crate::bench) async fn round_trip(client: &Client) -> Result<(), Error> {
    client.query_typed_one(sql!("round_trip"), &[]).await?;
    Ok(())
}

pub(in crate::bench) async fn wal_position(client: &Client) -> Result<i64, Error> {
    Ok(client.query_typed_one(sql!("wal_position"), &[]).await?.try_get(0)?)
}

/// Returns the transactions so far in a database. Call it on a connection to another one, so that it does not count
/// itself.
pub(in crate::bench) async fn transactions(client: &Client, database: &str) -> Result<i64, Error> {
    Ok(client.query_typed_one(sql!("transactions"), &[(&database, Type::TEXT)]).await?.try_get(0)?)
}

/// Returns the number of sessions in this database, including our own.
pub(in crate::bench) async fn sessions(client: &Client) -> Result<i64, Error> {
    Ok(client.query_typed_one(sql!("sessions"), &[]).await?.try_get(0)?)
}

/// Returns the dead rows produced so far in the queue's tables. Complete only for sessions that have ended.
pub(in crate::bench) async fn dead_rows(client: &Client) -> Result<i64, Error> {
    Ok(client.query_typed_one(sql!("dead_rows"), &[]).await?.try_get(0)?)
}

/// Returns the bytes of the hot table and of its indexes.
pub(in crate::bench) async fn sizes(client: &Client) -> Result<(i64, i64), Error> {
    let row = client.query_typed_one(sql!("sizes"), &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
