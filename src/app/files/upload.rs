//! Storing a file.
//!
//! ```text
//!  row `pending` ──▶ PUT to a fresh key ──▶ row `ready`, the older file of that name an orphan
//!      │ commit           │ within 15 min         │ commit
//! ```
//!
//! | dies after | what is left | who clears it |
//! | --- | --- | --- |
//! | nothing yet | nothing | |
//! | the first commit | a row, perhaps an object, perhaps one that is still to land | after an hour the cleanup deletes the key, and a day later once more |
//! | the PUT | the same, the object whole | the same |
//! | the second commit | the file; the older one an orphan with its cleanup enqueued | the cleanup |
//!
//! A failure that the process survives is left to the same sweep: what the store has got, or will
//! still get, is as uncertain then.

use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;
use uuid::Uuid;

use super::{FileRecord, MAX_FILE_BYTES, check_name};
use crate::Database;
use crate::app::AppError;
use crate::app::jobs::orphan_file_cleanup::request_cleanup;
use crate::app::object_store::{BodyFeed, ObjectStore, upload_body};
use crate::app::store::{self, Patience};

/// Stores a file of `content_length` bytes under this name, which goes over to it from the file
/// that had it. Reads the body as fast as the store takes it, within 15 minutes in all.
///
/// # Errors
/// [`AppError::Invalid`] for a bad name; [`AppError::TooLarge`]; [`AppError::TabloNotFound`], also
/// where it was deleted meanwhile; [`AppError::LengthMismatch`]; [`AppError::Body`];
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
    let mut client = database.client().await?;
    let tx = store::begin(&mut client, Patience::Short).await?;
    if !store::files::begin_upload(&tx, id, tablo_id, name, key, size).await? {
        return Err(AppError::TabloNotFound(tablo_id));
    }
    Ok(tx.commit().await?)
}

/// Carries the body over to its sender, and holds it to its length. `false` where the sender ended
/// before the body, for a reason that it says itself.
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
    let mut client = database.client().await?;
    let tx = store::begin(&mut client, Patience::Short).await?;
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
    tx.rollback().await?;
    // We were stopped for so long that a cleanup has taken the upload for abandoned, and perhaps
    // forgotten it: the object is then ours alone to delete.
    object_store.delete(&[key.to_owned()]).await?;
    Err(AppError::UploadTimedOut(object_store.upload_limit()))
}
