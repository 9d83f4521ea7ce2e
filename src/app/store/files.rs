//! The statements of files and uploads.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::sql;
use crate::app::files::FileRecord;
use crate::error::Error;
use crate::job::StoredTime;
use crate::postgres::{Queryable, Statements};

pub(in crate::app) async fn list_files(
    tx: &impl Queryable<Raw = Client>,
    tablo_id: Uuid,
    limit: usize,
) -> Result<Vec<FileRecord>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows =
        Statements::on(tx).query_typed(sql!("list_files"), &[(&tablo_id, Type::UUID), (&limit, Type::INT8)]).await?;
    rows.iter().map(file_record).collect()
}

pub(in crate::app) async fn find_file(
    tx: &impl Queryable<Raw = Client>,
    tablo_id: Uuid,
    name: &str,
) -> Result<Option<FileRecord>, Error> {
    let row =
        Statements::on(tx).query_typed_opt(sql!("find_file"), &[(&tablo_id, Type::UUID), (&name, Type::TEXT)]).await?;
    row.as_ref().map(file_record).transpose()
}

/// Returns whether the tablo exists.
pub(in crate::app) async fn begin_upload(
    tx: &Client,
    id: Uuid,
    tablo_id: Uuid,
    name: &str,
    s3_key: &str,
    size: i64,
) -> Result<bool, Error> {
    let inserted = tx
        .execute_typed(
            sql!("begin_upload"),
            &[
                (&id, Type::UUID),
                (&tablo_id, Type::UUID),
                (&name, Type::TEXT),
                (&s3_key, Type::TEXT),
                (&size, Type::INT8),
            ],
        )
        .await?;
    Ok(inserted > 0)
}

/// Returns whether a file had the name.
pub(in crate::app) async fn supersede_file(tx: &Client, tablo_id: Uuid, name: &str) -> Result<bool, Error> {
    Ok(tx.execute_typed(sql!("supersede_file"), &[(&tablo_id, Type::UUID), (&name, Type::TEXT)]).await? > 0)
}

/// Returns `None` if the upload was marked as abandoned.
pub(in crate::app) async fn finish_upload(tx: &Client, id: Uuid) -> Result<Option<FileRecord>, Error> {
    let row = tx.query_typed_opt(sql!("finish_upload"), &[(&id, Type::UUID)]).await?;
    row.as_ref().map(file_record).transpose()
}

/// Returns `false` if the upload was marked as abandoned.
pub(in crate::app) async fn discard_upload(tx: &Client, id: Uuid) -> Result<bool, Error> {
    Ok(tx.execute_typed(sql!("discard_upload"), &[(&id, Type::UUID)]).await? > 0)
}

fn file_record(row: &Row) -> Result<FileRecord, Error> {
    let size: i64 = row.try_get("size")?;
    Ok(FileRecord {
        id: row.try_get("id")?,
        tablo_id: row.try_get("tablo_id")?,
        name: row.try_get("name")?,
        // A constraint of the table excludes negative sizes.
        size: u64::try_from(size).unwrap_or_default(),
        created_at: row.try_get::<_, StoredTime>("created_at")?.0,
        s3_key: row.try_get("s3_key")?,
    })
}
