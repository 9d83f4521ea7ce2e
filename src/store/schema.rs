//! The statements of migrations: applied versions, and the migration lock.

use std::borrow::Cow;

#[cfg(feature = "migrate")]
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::postgres::{Queryable, Schema, Statements};
use crate::sql::sql;

/// Tries to acquire the migration lock of a set for the session.
#[cfg(feature = "migrate")]
pub(crate) async fn try_migration_lock(client: &impl Queryable, record: &str) -> Result<bool, Error> {
    Ok(Statements::on(client)
        .query_typed_one(sql!("schema/try_migration_lock"), &[(&record, Type::TEXT)])
        .await?
        .try_get(0)?)
}

/// Limits the statements of a migration, and their waits for locks, for the session.
#[cfg(feature = "migrate")]
pub(crate) async fn limit_migration(client: &impl Queryable, lock_ms: u32, total_ms: u32) -> Result<(), Error> {
    let (lock, total) = (lock_ms.to_string(), total_ms.to_string());
    Statements::on(client)
        .query_typed(sql!("schema/limit_migration"), &[(&lock, Type::TEXT), (&total, Type::TEXT)])
        .await?;
    Ok(())
}

pub(crate) async fn table_exists(client: &impl Queryable, table: &str) -> Result<bool, Error> {
    Ok(Statements::on(client)
        .query_typed_one(sql!("schema/table_exists"), &[(&table, Type::TEXT)])
        .await?
        .try_get(0)?)
}

/// Of tables and views, those that do not exist.
pub(crate) async fn missing_tables(client: &impl Queryable, tables: &[String]) -> Result<Vec<String>, Error> {
    let rows =
        Statements::on(client).query_typed(sql!("schema/missing_tables"), &[(&tables, Type::TEXT_ARRAY)]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Of the rights on these tables, those that the role lacks, such as `INSERT on postrider.job`. Skips missing tables.
#[cfg(feature = "bin")]
pub(crate) async fn missing_rights(
    client: &impl Queryable,
    written: &[String],
    read: &[String],
) -> Result<Vec<String>, Error> {
    let params = [(&written as _, Type::TEXT_ARRAY), (&read as _, Type::TEXT_ARRAY)];
    let rows = Statements::on(client).query_typed(sql!("schema/missing_rights"), &params).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

#[cfg(feature = "migrate")]
pub(crate) async fn schema_exists(client: &impl Queryable) -> Result<bool, Error> {
    Ok(Statements::on(client).query_typed_one(sql!("schema/schema_exists"), &[]).await?.try_get(0)?)
}

/// Needs the CREATE privilege on the database, even if the schema exists.
#[cfg(feature = "migrate")]
pub(crate) async fn create_schema(client: &impl Queryable) -> Result<(), Error> {
    Ok(Statements::on(client).batch_execute(sql!("schema/create_schema")).await?)
}

/// The version in the comment on a set's `record` of migrations.
#[cfg(feature = "migrate")]
pub(crate) async fn marked_version(client: &impl Queryable, record: &str) -> Result<Option<u32>, Error> {
    let marked: Option<i32> = Statements::on(client)
        .query_typed_one(sql!("schema/marked_version"), &[(&record, Type::TEXT)])
        .await?
        .try_get(0)?;
    Ok(marked.and_then(|version| version.try_into().ok()))
}

/// Writes the version into the comment, so that a schema-only dump contains it.
#[cfg(feature = "migrate")]
pub(crate) async fn mark_version(client: &impl Queryable, record: &str, version: u32) -> Result<(), Error> {
    if marked_version(client, record).await? == Some(version) {
        return Ok(());
    }
    let statement = sql!("schema/mark_version").replace("{record}", record).replace("{version}", &version.to_string());
    Ok(client.raw().batch_execute(&statement).await?)
}

/// The statements that create the roles.
pub(crate) fn roles(schema: &Schema) -> Cow<'static, str> {
    schema.statement(include_str!("../../sql/roles.sql"))
}

/// The newest applied version of the queue's set, 0 for none.
pub(crate) async fn queue_version(client: &impl Queryable) -> Result<i32, Error> {
    Ok(Statements::on(client).query_typed_one(sql!("schema/queue_schema_version"), &[]).await?.try_get(0)?)
}

/// The newest applied version of the app's set, 0 for none.
#[cfg(feature = "bin")]
pub(crate) async fn app_version(client: &impl Queryable) -> Result<i32, Error> {
    Ok(Statements::on(client).query_typed_one(sql!("schema/app_schema_version"), &[]).await?.try_get(0)?)
}
