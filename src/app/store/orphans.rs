//! The statements of orphans.

use chrono::{DateTime, Utc};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::sql;
use crate::error::Error;
use crate::job::JobId;

/// The contents of a cleanup request.
pub(in crate::app) struct CleanupRequest {
    pub generation: i64,
    pub due: DateTime<Utc>,
}

/// A position in the scan of due orphans.
#[derive(Clone, Copy)]
pub(in crate::app) struct OrphanCursor {
    pub delete_after: DateTime<Utc>,
    pub id: Uuid,
}

impl OrphanCursor {
    /// Before all orphans: none is from before 1970.
    pub(in crate::app) const START: Self = Self { delete_after: DateTime::UNIX_EPOCH, id: Uuid::nil() };
}

/// How many due orphans were marked for deletion, and how many are kept.
pub(in crate::app) struct Marked {
    pub deleting: u64,
    pub kept: u64,
    pub last: OrphanCursor,
}

/// The result of one page of the scan of all files.
pub(in crate::app) struct Stamped {
    pub orphans: u64,
    pub last_id: Uuid,
}

/// A file with an object to delete.
pub(in crate::app) struct ClaimedFile {
    pub id: Uuid,
    pub s3_key: String,
}

pub(in crate::app) async fn orphan_files(tx: &Client, tablo_id: Uuid, grace_seconds: f64) -> Result<u64, Error> {
    Ok(tx.execute_typed(sql!("orphan_files"), &[(&tablo_id, Type::UUID), (&grace_seconds, Type::FLOAT8)]).await?)
}

pub(in crate::app) async fn bring_files_back(tx: &Client, tablo_id: Uuid) -> Result<u64, Error> {
    Ok(tx.execute_typed(sql!("bring_files_back"), &[(&tablo_id, Type::UUID)]).await?)
}

pub(in crate::app) async fn files_being_deleted(tx: &Client, tablo_id: Uuid) -> Result<bool, Error> {
    Ok(tx.query_typed_one(sql!("files_being_deleted"), &[(&tablo_id, Type::UUID)]).await?.try_get(0)?)
}

pub(in crate::app) async fn cleanup_request(tx: &Client, grace_seconds: f64) -> Result<CleanupRequest, Error> {
    let row = tx.query_typed_one(sql!("cleanup_request"), &[(&grace_seconds, Type::FLOAT8)]).await?;
    Ok(CleanupRequest { generation: row.try_get("generation")?, due: row.try_get("due")? })
}

pub(in crate::app) async fn begin_cleanup(tx: &Client) -> Result<(), Error> {
    tx.execute_typed(sql!("begin_cleanup"), &[]).await?;
    Ok(())
}

pub(in crate::app) async fn decide_alone(tx: &Client) -> Result<(), Error> {
    tx.query_typed(sql!("decide_alone"), &[]).await?;
    Ok(())
}

/// Returns `None` at the end of the table.
pub(in crate::app) async fn stamp_orphans(
    tx: &Client,
    after: Uuid,
    page: i64,
    grace_seconds: f64,
) -> Result<Option<Stamped>, Error> {
    let row = tx
        .query_typed_opt(
            sql!("stamp_orphans"),
            &[(&after, Type::UUID), (&page, Type::INT8), (&grace_seconds, Type::FLOAT8)],
        )
        .await?;
    row.map(|row| Ok(Stamped { orphans: count(row.try_get("stamped")?), last_id: row.try_get("last_id")? })).transpose()
}

/// Returns how many uploads were marked.
pub(in crate::app) async fn mark_abandoned(tx: &Client, limit: i64) -> Result<u64, Error> {
    Ok(tx.execute_typed(sql!("mark_abandoned"), &[(&limit, Type::INT8)]).await?)
}

/// Returns `None` if no more orphans are due.
pub(in crate::app) async fn mark_orphans(
    tx: &Client,
    grace_seconds: f64,
    after: OrphanCursor,
    page: i64,
) -> Result<Option<Marked>, Error> {
    let row = tx
        .query_typed_opt(
            sql!("mark_orphans"),
            &[
                (&grace_seconds, Type::FLOAT8),
                (&after.delete_after, Type::TIMESTAMPTZ),
                (&after.id, Type::UUID),
                (&page, Type::INT8),
            ],
        )
        .await?;
    row.map(|row| {
        Ok(Marked {
            deleting: count(row.try_get("marked")?),
            kept: count(row.try_get("kept")?),
            last: OrphanCursor { delete_after: row.try_get("last_time")?, id: row.try_get("last_id")? },
        })
    })
    .transpose()
}

/// Returns the files in the order of their ids.
pub(in crate::app) async fn claim_marked(
    tx: &Client,
    job_id: JobId,
    after: Uuid,
    limit: i64,
) -> Result<Vec<ClaimedFile>, Error> {
    let rows = tx
        .query_typed(sql!("claim_marked"), &[(&job_id, Type::INT8), (&after, Type::UUID), (&limit, Type::INT8)])
        .await?;
    let mut files = rows
        .iter()
        .map(|row| Ok(ClaimedFile { id: row.try_get("id")?, s3_key: row.try_get("s3_key")? }))
        .collect::<Result<Vec<_>, Error>>()?;
    // RETURNING guarantees no order.
    files.sort_unstable_by_key(|file| file.id);
    Ok(files)
}

pub(in crate::app) async fn settle_deleted(tx: &Client, ids: &[Uuid]) -> Result<(), Error> {
    tx.execute_typed(sql!("settle_deleted"), &[(&ids, Type::UUID_ARRAY)]).await?;
    Ok(())
}

pub(in crate::app) async fn release_claims(tx: &Client, ids: &[Uuid], job_id: JobId) -> Result<(), Error> {
    tx.execute_typed(sql!("release_claims"), &[(&ids, Type::UUID_ARRAY), (&job_id, Type::INT8)]).await?;
    Ok(())
}

/// Converts a count of Postgres, which is never negative.
fn count(of: i64) -> u64 {
    u64::try_from(of).unwrap_or_default()
}
