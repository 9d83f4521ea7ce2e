//! Tablos: boards with files.
//!
//! Promises: a change of a tablo commits in one transaction with its files and the cleanup. Only
//! [`files`](super::files) and the cleanup access objects.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::files::FileRecord;
use super::jobs::orphan_file_cleanup::{MAX_GRACE, request_cleanup};
use super::store::{self, Patience};
use super::{AppError, text};
use crate::postgres::Database;

/// The longest name of a tablo, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 1024;
/// The most files that [`find`] returns.
pub const MAX_FILES_LISTED: usize = 10_000;

/// A board.
#[derive(Clone, Debug, Serialize)]
pub struct Tablo {
    /// Its id.
    pub id: Uuid,
    /// Its name: 1 to 1024 bytes, no control characters.
    pub name: String,
    /// When it was created, or restored.
    pub created_at: DateTime<Utc>,
}

/// A board with its files.
#[derive(Clone, Debug, Serialize)]
pub struct TabloWithFiles {
    /// The board.
    #[serde(flatten)]
    pub tablo: Tablo,
    /// Its first 10,000 files, ordered by name.
    pub files: Vec<FileRecord>,
}

/// Creates a tablo.
///
/// # Errors
/// [`AppError::Invalid`] for a bad name, [`AppError::Queue`].
pub async fn create(database: &Database, name: &str) -> Result<Tablo, AppError> {
    check_name(name)?;
    let id = Uuid::now_v7();
    let tx = store::begin(database, Patience::Short).await?;
    let tablo = store::tablos::create_tablo(&tx, id, name).await?.ok_or(AppError::TabloExists(id))?;
    tx.commit().await?;
    Ok(tablo)
}

/// Returns a tablo with its files. `None` if it does not exist.
///
/// # Errors
/// [`AppError::Queue`].
pub async fn find(database: &Database, id: Uuid) -> Result<Option<TabloWithFiles>, AppError> {
    let tx = store::begin(database, Patience::Short).await?;
    let Some(tablo) = store::tablos::find_tablo(&tx, id).await? else { return Ok(None) };
    let files = store::files::list_files(&tx, id, MAX_FILES_LISTED).await?;
    tx.commit().await?;
    Ok(Some(TabloWithFiles { tablo, files }))
}

/// Deletes a tablo. Returns `false` if it does not exist. Its files are no longer served. A cleanup that is enqueued
/// with the deletion deletes them after the grace (at most 365 days). Until then [`restore`] restores the tablo and
/// its files.
///
/// # Errors
/// [`AppError::Invalid`] for a grace that is too long, [`AppError::Queue`].
pub async fn delete(database: &Database, id: Uuid, grace: Duration) -> Result<bool, AppError> {
    if grace > MAX_GRACE {
        return Err(AppError::invalid("grace", format!("is {} s, more than {}", grace.as_secs(), MAX_GRACE.as_secs())));
    }
    let tx = store::begin(database, Patience::Short).await?;
    if !store::tablos::delete_tablo(&tx, id).await? {
        return Ok(false);
    }
    store::orphans::orphan_files(&tx, id, grace.as_secs_f64()).await?;
    request_cleanup(&tx, grace).await?;
    tx.commit().await?;
    Ok(true)
}

/// Restores a deleted tablo with its id and files. Creates a new tablo with that id if it had no files or they are
/// deleted already.
///
/// # Errors
/// [`AppError::TabloExists`]; [`AppError::FilesBeingDeleted`] once the cleanup has marked its
/// files; [`AppError::Invalid`] for a bad name; [`AppError::Queue`].
pub async fn restore(database: &Database, id: Uuid, name: &str) -> Result<Tablo, AppError> {
    check_name(name)?;
    let tx = store::begin(database, Patience::Short).await?;
    // Comes before the statements that read the files, so that they see the decision of the previous holder.
    store::orphans::decide_alone(&tx).await?;
    let tablo = store::tablos::create_tablo(&tx, id, name).await?.ok_or(AppError::TabloExists(id))?;
    store::orphans::bring_files_back(&tx, id).await?;
    if store::orphans::files_being_deleted(&tx, id).await? {
        return Err(AppError::FilesBeingDeleted(id));
    }
    tx.commit().await?;
    Ok(tablo)
}

fn check_name(name: &str) -> Result<(), AppError> {
    text::check("name", name, MAX_NAME_BYTES)
}
