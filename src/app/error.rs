//! What can go wrong with tablos, files and the object store.

use std::time::Duration;

use uuid::Uuid;

/// An error of the application.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// A value was refused before anything was written.
    #[error("{field} {problem}")]
    Invalid {
        /// The name of the offending field.
        field: &'static str,
        /// What is wrong with it, to be read after the field's name.
        problem: String,
    },
    /// There is no such tablo, or it was deleted meanwhile.
    #[error("tablo {0} not found")]
    TabloNotFound(Uuid),
    /// A tablo with this id is there already.
    #[error("tablo {0} exists")]
    TabloExists(Uuid),
    /// The tablo cannot be brought back: the cleanup has begun to delete its files.
    #[error("tablo {0} cannot be restored: its files are being deleted")]
    FilesBeingDeleted(Uuid),
    /// A file is larger than may be stored.
    #[error("the file is {size} bytes, more than {limit}")]
    TooLarge {
        /// The declared length, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The body of an upload is not as long as was declared.
    #[error("the body is {received} bytes, {declared} were declared")]
    LengthMismatch {
        /// The declared length, in bytes.
        declared: u64,
        /// The bytes that came, up to the chunk that was too many.
        received: u64,
    },
    /// The body of an upload broke off.
    #[error("reading the body failed: {0}")]
    Body(String),
    /// An upload took too long and was given up.
    #[error("the upload was not done within {} s", .0.as_secs())]
    UploadTimedOut(Duration),
    /// The file's row says that its object is there, and the store says that it is not.
    #[error("file {0} has lost its object")]
    ObjectMissing(Uuid),
    /// The settings of the object store cannot be used.
    #[error("{0}")]
    Config(String),
    /// The object store refused, failed or did not answer.
    #[error("object store: {operation} failed: {problem}")]
    Storage {
        /// What was asked of it.
        operation: &'static str,
        /// What it said, or why there was no answer.
        problem: String,
    },
    /// The database or the queue.
    #[error(transparent)]
    Queue(#[from] crate::Error),
}

impl AppError {
    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }

    pub(crate) fn storage(operation: &'static str, problem: impl Into<String>) -> Self {
        Self::Storage { operation, problem: problem.into() }
    }
}

impl From<tokio_postgres::Error> for AppError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Queue(error.into())
    }
}
