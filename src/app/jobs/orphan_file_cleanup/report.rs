//! The result of a cleanup.

/// The counts of one run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Orphans that had no stamp.
    pub stamped: u64,
    /// Uploads marked as abandoned.
    pub abandoned: u64,
    /// Orphans marked for deletion.
    pub marked: u64,
    /// Orphans whose tablo exists again.
    pub kept: u64,
    /// Files whose object was deleted.
    pub deleted: u64,
    /// Files whose object could not be deleted.
    pub failed: u64,
    /// The first problem of the failed ones.
    pub problem: Option<String>,
    /// Why the run ended early.
    pub cut_short: Option<CutShort>,
}

/// Why a run ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutShort {
    /// The attempt was cancelled.
    Cancelled,
    /// The object store failed for several batches in a row.
    StoreDown,
}

/// The cleanup left work undone. The job is retried.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The attempt was cancelled.
    #[error("stopped after {deleted} files, with more to delete")]
    Cancelled {
        /// Files deleted.
        deleted: u64,
    },
    /// The object store failed for several batches in a row.
    #[error("gave up, the object store does not work; {deleted} files deleted, {failed} tried in vain: {problem}")]
    StoreDown {
        /// Files deleted.
        deleted: u64,
        /// Files that could not be deleted.
        failed: u64,
        /// The first problem.
        problem: String,
    },
    /// Some files could not be deleted.
    #[error("{failed} files could not be deleted, {deleted} were; the first problem: {problem}")]
    Failures {
        /// Files deleted.
        deleted: u64,
        /// Files that could not be deleted.
        failed: u64,
        /// The first problem.
        problem: String,
    },
}

impl Report {
    /// Returns an error if the cleanup left work undone.
    ///
    /// # Errors
    /// [`CleanupError`] if something is left to do.
    pub fn verdict(self) -> Result<(), CleanupError> {
        let (deleted, failed) = (self.deleted, self.failed);
        let problem = self.problem.unwrap_or_default();
        match self.cut_short {
            Some(CutShort::Cancelled) => Err(CleanupError::Cancelled { deleted }),
            Some(CutShort::StoreDown) => Err(CleanupError::StoreDown { deleted, failed, problem }),
            None if failed > 0 => Err(CleanupError::Failures { deleted, failed, problem }),
            None => Ok(()),
        }
    }
}
