//! Errors of tablos, files and the object store.

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
        /// What is wrong with it, worded to follow the field's name.
        problem: String,
    },
    /// The tablo does not exist, or was deleted meanwhile.
    #[error("tablo {0} not found")]
    TabloNotFound(Uuid),
    /// A tablo with this id exists already.
    #[error("tablo {0} exists")]
    TabloExists(Uuid),
    /// The tablo cannot be restored: the cleanup has begun to delete its files.
    #[error("tablo {0} cannot be restored: its files are being deleted")]
    FilesBeingDeleted(Uuid),
    /// A file exceeds the size limit.
    #[error("the file is {size} bytes, more than {limit}")]
    TooLarge {
        /// The declared length, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The body of an upload does not have the declared length.
    #[error("the body is {received} bytes, {declared} were declared")]
    LengthMismatch {
        /// The declared length, in bytes.
        declared: u64,
        /// The bytes received, including the chunk that exceeded the length.
        received: u64,
    },
    /// The body of an upload broke off.
    #[error("reading the body failed: {0}")]
    Body(String),
    /// An upload took too long and was abandoned.
    #[error("the upload was not done within {} s", .0.as_secs())]
    UploadTimedOut(Duration),
    /// The file is `ready` in the database, but its object is missing in the store.
    #[error("file {0} has lost its object")]
    ObjectMissing(Uuid),
    /// The settings of the object store are invalid.
    #[error("{0}")]
    Config(String),
    /// The object store refused the operation, failed or did not answer.
    #[error("object store: {operation} failed: {problem}")]
    Storage {
        /// The operation.
        operation: &'static str,
        /// The store's answer, or why it did not answer.
        problem: String,
    },
    /// An error of the database or the queue.
    #[error(transparent)]
    Queue(#[from] crate::error::Error),
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
