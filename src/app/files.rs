//! Files of tablos.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::Stream;
use serde::Serialize;
use uuid::Uuid;

use super::AppError;
use super::object_store::ObjectStore;
pub use super::object_store::ObjectStream;
use crate::Database;

/// The largest file, in bytes: 5 GiB.
pub const MAX_FILE_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// The longest name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 255;

/// A file that is there to be read.
#[derive(Clone, Debug, Serialize)]
pub struct FileRecord {
    /// Its id, new for each upload.
    pub id: Uuid,
    /// The tablo that carries it.
    pub tablo_id: Uuid,
    /// Its name: 1 to 255 bytes, no `/` and no control characters.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When its upload began.
    pub created_at: DateTime<Utc>,
    #[serde(skip)]
    pub(crate) s3_key: String,
}

/// A file being read.
pub struct Download {
    /// Which.
    pub record: FileRecord,
    /// Its bytes, `record.size` of them.
    pub body: ObjectStream,
}

/// Stores a file under this name, which replaces what had the name.
pub async fn upload<E>(
    database: &Database,
    object_store: &ObjectStore,
    tablo_id: Uuid,
    name: &str,
    content_length: u64,
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Result<FileRecord, AppError>
where
    E: std::fmt::Display + Send + 'static,
{
    let _ = (database, object_store, tablo_id, name, content_length, body);
    Err(AppError::invalid("files", "not yet written"))
}

/// A file by its name; `None` where there is none.
pub async fn download(
    database: &Database,
    object_store: &ObjectStore,
    tablo_id: Uuid,
    name: &str,
) -> Result<Option<Download>, AppError> {
    let _ = (database, object_store, tablo_id, name);
    Err(AppError::invalid("files", "not yet written"))
}
