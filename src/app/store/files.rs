//! Files that are carried, and uploads.

use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use super::sql;
use crate::Error;
use crate::app::files::FileRecord;

pub(in crate::app) async fn list_files(
    tx: &Transaction<'_>,
    tablo_id: Uuid,
    limit: usize,
) -> Result<Vec<FileRecord>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = tx.query_typed(sql!("list_files"), &[(&tablo_id, Type::UUID), (&limit, Type::INT8)]).await?;
    rows.iter().map(file_record).collect()
}

pub(in crate::app) async fn find_file(
    tx: &Transaction<'_>,
    tablo_id: Uuid,
    name: &str,
) -> Result<Option<FileRecord>, Error> {
    let row = tx.query_typed_opt(sql!("find_file"), &[(&tablo_id, Type::UUID), (&name, Type::TEXT)]).await?;
    row.as_ref().map(file_record).transpose()
}

/// Whether there is such a tablo.
pub(in crate::app) async fn begin_upload(
    tx: &Transaction<'_>,
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

/// Whether something had the name.
pub(in crate::app) async fn supersede_file(tx: &Transaction<'_>, tablo_id: Uuid, name: &str) -> Result<bool, Error> {
    Ok(tx.execute_typed(sql!("supersede_file"), &[(&tablo_id, Type::UUID), (&name, Type::TEXT)]).await? > 0)
}

/// `None` where the upload was taken for abandoned.
pub(in crate::app) async fn finish_upload(tx: &Transaction<'_>, id: Uuid) -> Result<Option<FileRecord>, Error> {
    let row = tx.query_typed_opt(sql!("finish_upload"), &[(&id, Type::UUID)]).await?;
    row.as_ref().map(file_record).transpose()
}

/// `false` where the upload was taken for abandoned.
pub(in crate::app) async fn discard_upload(tx: &Transaction<'_>, id: Uuid) -> Result<bool, Error> {
    Ok(tx.execute_typed(sql!("discard_upload"), &[(&id, Type::UUID)]).await? > 0)
}

fn file_record(row: &Row) -> Result<FileRecord, Error> {
    let size: i64 = row.try_get("size")?;
    Ok(FileRecord {
        id: row.try_get("id")?,
        tablo_id: row.try_get("tablo_id")?,
        name: row.try_get("name")?,
        // Not negative: a constraint of the table.
        size: u64::try_from(size).unwrap_or_default(),
        created_at: row.try_get("created_at")?,
        s3_key: row.try_get("s3_key")?,
    })
}
