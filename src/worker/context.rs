//! What a handler knows about its attempt.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Database;
use crate::job::JobId;

/// The attempt that a handler runs, and the worker's shared state of type `S`.
pub struct Context<S> {
    pub(super) job_id: JobId,
    pub(super) kind: &'static str,
    pub(super) queue: Arc<str>,
    pub(super) attempt: u32,
    pub(super) max_attempts: u32,
    pub(super) worker_id: Uuid,
    pub(super) cancelled: CancellationToken,
    pub(super) database: Database,
    pub(super) state: Arc<S>,
}

impl<S> Context<S> {
    /// The job's id.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.job_id
    }

    /// The job's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The job's queue.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// Which attempt this is, 1 for the first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The failure of this attempt discards the job.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The worker that runs it, new for each process start.
    #[must_use]
    pub fn worker_id(&self) -> Uuid {
        self.worker_id
    }

    /// The state that the worker was made with.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The database of the queue, with its pool.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Resolves when the attempt should stop: its job was cancelled, its time is up, the worker
    /// shuts down or has lost the job. A handler that has not returned a second later is dropped
    /// at its next `.await`.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether [`Context::cancelled`] has resolved.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }
}
