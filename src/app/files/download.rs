//! Reading a file.

use std::ops::RangeInclusive;

use uuid::Uuid;

use super::{FileRecord, ObjectStream, check_name};
use crate::app::AppError;
use crate::app::object_store::ObjectStore;
use crate::app::store::{self, Patience};
use crate::postgres::Database;

/// How many times to look the file up if it is replaced during the read.
const MAX_TRIES: u32 = 5;

/// A file being read.
pub struct Download {
    /// The file.
    pub record: FileRecord,
    /// Its bytes: all `record.size`, or the requested part.
    pub body: ObjectStream,
}

/// Opens a file by name: all of it, or the part that `part` chooses, which must lie within its size. `None` if the
/// file does not exist.
///
/// # Errors
/// [`AppError::Invalid`] for a bad name; [`AppError::ObjectMissing`]; [`AppError::Storage`];
/// [`AppError::Queue`].
pub async fn download(
    database: &Database,
    object_store: &ObjectStore,
    tablo_id: Uuid,
    name: &str,
    part: impl Fn(&FileRecord) -> Option<RangeInclusive<u64>>,
) -> Result<Option<Download>, AppError> {
    let mut missing = None;
    for _ in 0..MAX_TRIES {
        let Some(record) = find(database, tablo_id, name).await? else { return Ok(None) };
        if missing == Some(record.id) {
            break;
        }
        let part = part(&record);
        let wanted = part.as_ref().map_or(record.size, |part| part.end() - part.start() + 1);
        match object_store.get(&record.s3_key, part).await? {
            Some((length, body)) if length == wanted => return Ok(Some(Download { record, body })),
            Some((length, _)) => {
                let problem = format!("file {} has {length} bytes there, {wanted} were stored", record.id);
                return Err(AppError::storage("reading an object", problem));
            }
            // The file was replaced or deleted after the row was read, unless the next look-up finds the same row.
            None => missing = Some(record.id),
        }
    }
    Err(missing.map_or(AppError::TabloNotFound(tablo_id), AppError::ObjectMissing))
}

/// Returns the row of a file by name, without its bytes. `None` if the file does not exist.
///
/// # Errors
/// [`AppError::Invalid`] for a bad name; [`AppError::Queue`].
pub async fn find(database: &Database, tablo_id: Uuid, name: &str) -> Result<Option<FileRecord>, AppError> {
    check_name(name)?;
    let tx = store::begin(database, Patience::Short).await?;
    let file = store::files::find_file(&tx, tablo_id, name).await?;
    tx.commit().await?;
    Ok(file)
}
