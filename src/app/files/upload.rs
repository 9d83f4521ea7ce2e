//! Storing a file.
//!
//! ```text
//!  row `pending` ──▶ PUT to a fresh key ──▶ row `ready`, older file of that name becomes an orphan
//!      │ commit           │ within 15 min         │ commit
//! ```
//!
//! | process dies | what is left | how it is removed |
//! | --- | --- | --- |
//! | before the first commit | nothing | |
//! | after the first commit | a row; its object may exist or still arrive | the cleanup deletes the key after an hour, and again a day later |
//! | after the PUT | the same, with the complete object | the same |
//! | after the second commit | the file; the older file is an orphan, its cleanup is enqueued | the cleanup |
//!
//! The same cleanup handles an error that the process survives: it is just as uncertain what the store has received
//! or will still receive.

use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;
use uuid::Uuid;

use super::{FileRecord, MAX_FILE_BYTES, check_name};
use crate::app::AppError;
use crate::app::jobs::orphan_file_cleanup::request_cleanup;
use crate::app::object_store::{BodyFeed, ObjectStore, upload_body};
use crate::app::store::{self, Patience};
use crate::postgres::Database;

/// Stores a file of `content_length` bytes under this name. Replaces an older file of that name. Reads the body as
/// fast as the store accepts it. The whole upload may take 15 minutes.
///
/// # Errors
/// [`AppError::Invalid`] for a bad name; [`AppError::TooLarge`]; [`AppError::TabloNotFound`], also
/// if it was deleted meanwhile; [`AppError::LengthMismatch`]; [`AppError::Body`];
/// [`AppError::UploadTimedOut`]; [`AppError::Storage`]; [`AppError::Queue`].
pub async fn upload<E>(
    database: &Database,
    object_store: &ObjectStore,
    tablo_id: Uuid,
    name: &str,
    content_length: u64,
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Result<FileRecord, AppError>
where
    E: Display + Send + 'static,
{
    check_name(name)?;
    if content_length > MAX_FILE_BYTES {
        return Err(AppError::TooLarge { size: content_length, limit: MAX_FILE_BYTES });
    }
    let id = Uuid::now_v7();
    let key = format!("tablos/{tablo_id}/{id}");
    begin(database, id, tablo_id, name, &key, content_length).await?;

    let (feed, sending) = upload_body(content_length);
    let limit = object_store.upload_limit();
    let sent =
        async { tokio::try_join!(pump(body, content_length, feed), object_store.put(&key, content_length, sending)) };
    let (all_sent, ()) = timeout(limit, sent).await.map_err(|_| AppError::UploadTimedOut(limit))??;
    if !all_sent {
        return Err(AppError::storage("storing an object", "it answered before it had the whole body"));
    }

    finish(database, object_store, id, tablo_id, name, &key).await
}

async fn begin(
    database: &Database,
    id: Uuid,
    tablo_id: Uuid,
    name: &str,
    key: &str,
    size: u64,
) -> Result<(), AppError> {
    // At most 5 GiB.
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let tx = store::begin(database, Patience::Short).await?;
    if !store::files::begin_upload(&tx, id, tablo_id, name, key, size).await? {
        return Err(AppError::TabloNotFound(tablo_id));
    }
    Ok(tx.commit().await?)
}

/// Copies the body to the sender and checks its length. Returns `false` if the sender ended before the body. The
/// sender reports the reason.
async fn pump<E: Display>(
    body: impl Stream<Item = Result<Bytes, E>>,
    declared: u64,
    feed: BodyFeed,
) -> Result<bool, AppError> {
    let mut body = pin!(body);
    let mut received = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| AppError::Body(error.to_string()))?;
        received += chunk.len() as u64;
        if received > declared {
            return Err(AppError::LengthMismatch { declared, received });
        }
        if !chunk.is_empty() && feed.send(chunk).await.is_err() {
            return Ok(false);
        }
    }
    if received < declared {
        return Err(AppError::LengthMismatch { declared, received });
    }
    Ok(true)
}

async fn finish(
    database: &Database,
    object_store: &ObjectStore,
    id: Uuid,
    tablo_id: Uuid,
    name: &str,
    key: &str,
) -> Result<FileRecord, AppError> {
    let tx = store::begin(database, Patience::Short).await?;
    if store::tablos::lock_tablo(&tx, tablo_id).await? {
        let replaced = store::files::supersede_file(&tx, tablo_id, name).await?;
        if let Some(record) = store::files::finish_upload(&tx, id).await? {
            if replaced {
                request_cleanup(&tx, Duration::ZERO).await?;
            }
            tx.commit().await?;
            return Ok(record);
        }
    } else if store::files::discard_upload(&tx, id).await? {
        request_cleanup(&tx, Duration::ZERO).await?;
        tx.commit().await?;
        return Err(AppError::TabloNotFound(tablo_id));
    }
    tx.roll_back().await?;
    // This process was suspended so long that a cleanup marked the upload as abandoned, and perhaps deleted its row.
    // Then nothing else refers to the object, so we delete it.
    object_store.delete(&[key.to_owned()]).await?;
    Err(AppError::UploadTimedOut(object_store.upload_limit()))
}
