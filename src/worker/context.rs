//! What a handler knows about its attempt.

use std::sync::Arc;

use uuid::Uuid;

use super::held::{Held, StopReason};
use crate::database::InTransaction;
use crate::job::JobId;
use crate::store::finish;
use crate::{Database, Error};

/// The attempt that a handler runs, and the worker's shared state of type `S`.
pub struct Context<S> {
    pub(super) held: Arc<Held>,
    pub(super) queue: Arc<str>,
    pub(super) completed_seconds: i64,
    pub(super) database: Database,
    pub(super) state: Arc<S>,
}

impl<S> Context<S> {
    /// The job's id.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.held.id
    }

    /// The job's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.held.kind
    }

    /// The job's queue.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// Which attempt this is, 1 for the first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        u32::try_from(self.held.attempt).unwrap_or(1)
    }

    /// The failure of this attempt discards the job.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        u32::try_from(self.held.max_attempts).unwrap_or(1)
    }

    /// The worker that runs it, new for each process start.
    #[must_use]
    pub fn worker_id(&self) -> Uuid {
        self.held.fence().worker
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
        self.held.cancel.cancelled().await;
    }

    /// Whether [`Context::cancelled`] has resolved.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.held.cancel.is_cancelled()
    }

    /// Completes the job in the handler's own transaction: what else the transaction does and the
    /// job's completion are committed together, or neither is. To be called last, before the commit;
    /// the handler then returns `Ok(())`.
    ///
    /// ```
    /// # use postrider::{Context, JobError};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct BookPayment { account: i64, cents: i64 }
    /// async fn book(payment: BookPayment, cx: Context<()>) -> Result<(), JobError> {
    ///     let mut client = cx.database().client().await?;
    ///     let tx = client.transaction().await?;
    ///     tx.execute(
    ///         "UPDATE account SET cents = cents + $1 WHERE id = $2",
    ///         &[&payment.cents, &payment.account],
    ///     )
    ///     .await?;
    ///     cx.complete_in(&tx).await?;
    ///     tx.commit().await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// If the handler returns an error although the transaction was committed (the answer to the
    /// commit was lost, say), the job stays completed. If it returns `Ok` although it was not, the
    /// attempt has failed and is tried again.
    ///
    /// # Errors
    /// [`Error::Stale`] if the job belongs to another attempt by now: then the attempt is cancelled, and
    /// the transaction must be rolled back, which dropping it does. [`Error::Database`] as any statement.
    pub async fn complete_in<T: InTransaction>(&self, tx: &T) -> Result<(), Error> {
        let (tx, fence) = (tx.raw(), self.held.fence());
        // Before: whoever drops this future cannot know how far the statement came.
        self.held.complete_in_transaction();
        if finish::complete_in(tx, fence, self.completed_seconds).await? {
            return Ok(());
        }
        // A second call in the same transaction finds the job gone, by its own doing.
        if finish::is_completed_in(tx, fence).await? {
            return Ok(());
        }
        self.held.stop(StopReason::Lost);
        Err(Error::Stale(self.held.id))
    }
}
