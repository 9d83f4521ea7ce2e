//! What a cleanup has done, and whether that was all.

/// The figures of one run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Orphans that nobody had stamped.
    pub stamped: u64,
    /// Uploads taken for abandoned.
    pub abandoned: u64,
    /// Orphans marked for deletion.
    pub marked: u64,
    /// Orphans whose tablo was there again: no longer orphans.
    pub kept: u64,
    /// Files whose object was deleted.
    pub deleted: u64,
    /// Files whose object could not be deleted.
    pub failed: u64,
    /// The first problem of those.
    pub problem: Option<String>,
    /// Why the run ended before it was through.
    pub cut_short: Option<CutShort>,
}

/// Why a run ended before it was through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutShort {
    /// It was asked to stop.
    Cancelled,
    /// The object store failed for several batches in a row.
    StoreDown,
}

/// A cleanup that left something to be done. To be tried again.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// It was asked to stop.
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
    /// Whether that was all.
    ///
    /// # Errors
    /// [`CleanupError`] where something is left to be done.
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
