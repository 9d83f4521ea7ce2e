//! Tablos: boards that carry files.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::AppError;
use super::files::FileRecord;
use crate::Database;

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

/// A board and what it carries.
#[derive(Clone, Debug, Serialize)]
pub struct TabloWithFiles {
    /// The board.
    #[serde(flatten)]
    pub tablo: Tablo,
    /// Its files, by name.
    pub files: Vec<FileRecord>,
}

/// Creates a tablo.
pub async fn create(database: &Database, name: &str) -> Result<Tablo, AppError> {
    let _ = (database, name);
    Err(AppError::invalid("tablos", "not yet written"))
}

/// A tablo with its files; `None` where there is none.
pub async fn find(database: &Database, id: Uuid) -> Result<Option<TabloWithFiles>, AppError> {
    let _ = (database, id);
    Err(AppError::invalid("tablos", "not yet written"))
}

/// Deletes a tablo; `false` where there is none.
pub async fn delete(database: &Database, id: Uuid, grace: Duration) -> Result<bool, AppError> {
    let _ = (database, id, grace);
    Err(AppError::invalid("tablos", "not yet written"))
}

/// Brings a deleted tablo back with its files.
pub async fn restore(database: &Database, id: Uuid, name: &str) -> Result<Tablo, AppError> {
    let _ = (database, id, name);
    Err(AppError::invalid("tablos", "not yet written"))
}
