//! Reading a file.

use uuid::Uuid;

use super::{FileRecord, ObjectStream, check_name};
use crate::Database;
use crate::app::object_store::ObjectStore;
use crate::app::store::{self, Patience};
use crate::app::{AppError, files};

/// How often to look for a file that is replaced while we look.
const LOOKS: u32 = 5;

/// A file being read.
pub struct Download {
    /// Which.
    pub record: FileRecord,
    /// Its bytes, `record.size` of them.
    pub body: ObjectStream,
}

/// A file by its name; `None` where there is none.
///
/// # Errors
/// [`AppError::Invalid`] for a bad name; [`AppError::ObjectMissing`]; [`AppError::Storage`];
/// [`AppError::Queue`].
pub async fn download(
    database: &Database,
    object_store: &ObjectStore,
    tablo_id: Uuid,
    name: &str,
) -> Result<Option<Download>, AppError> {
    check_name(name)?;
    let mut missing = None;
    for _ in 0..LOOKS {
        let Some(record) = find(database, tablo_id, name).await? else { return Ok(None) };
        if missing == Some(record.id) {
            break;
        }
        match object_store.get(&record.s3_key).await? {
            Some((length, body)) if length == record.size => return Ok(Some(Download { record, body })),
            Some((length, _)) => {
                let problem = format!("file {} has {length} bytes there, {} were stored", record.id, record.size);
                return Err(AppError::storage("reading an object", problem));
            }
            // Replaced or deleted since we looked at the row, unless the row says the same again.
            None => missing = Some(record.id),
        }
    }
    Err(missing.map_or(AppError::TabloNotFound(tablo_id), AppError::ObjectMissing))
}

async fn find(database: &Database, tablo_id: Uuid, name: &str) -> Result<Option<files::FileRecord>, AppError> {
    let mut client = database.client().await?;
    let tx = store::begin(&mut client, Patience::Short).await?;
    let file = store::files::find_file(&tx, tablo_id, name).await?;
    tx.commit().await?;
    Ok(file)
}
