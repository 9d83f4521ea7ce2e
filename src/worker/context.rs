//! What a handler can ask about its attempt, and the completion of its job in its own transaction.
//!
//! Promise: a completion is written only if the attempt's fence holds. No other outcome is recorded here: a handler
//! returns it.

use std::future::Future;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use crate::error::Error;
use crate::job::JobId;
use crate::postgres::Database;
use crate::postgres::InTransaction;
use crate::store::finish;
use crate::store::history::make_partition_for;
use crate::worker::handler::output_json;
use crate::worker::in_flight::{InFlightJob, StopReason};

/// The attempt that a handler runs, and the worker's shared state of type `S`.
pub struct Context<S> {
    pub(super) job: Arc<InFlightJob>,
    pub(super) queue: Arc<str>,
    pub(super) completed_seconds: i64,
    pub(super) database: Database,
    pub(super) state: Arc<S>,
}

impl<S> Context<S> {
    /// The job's id.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.job.id
    }

    /// The job's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.job.kind
    }

    /// The job's queue.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// Which attempt this is, 1 for the first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        u32::try_from(self.job.attempt).unwrap_or(1)
    }

    /// The maximum number of attempts. If attempt number `max_attempts` fails, the job is discarded.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        u32::try_from(self.job.max_attempts).unwrap_or(1)
    }

    /// The worker that runs it, new for each process start.
    #[must_use]
    pub fn worker_id(&self) -> Uuid {
        self.job.fence().worker
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

    /// Resolves when the attempt should stop: its job was cancelled, it timed out, or the worker shuts down or has
    /// lost the job. A handler that has not returned a second later is dropped at its next `.await`.
    pub async fn cancelled(&self) {
        self.job.cancel.cancelled().await;
    }

    /// Whether [`Context::cancelled`] has resolved.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.job.cancel.is_cancelled()
    }

    /// Completes the job in the handler's own transaction, so that its other effects and the completion commit
    /// together or not at all. Call it last, before the commit. Then return `Ok(())`.
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
    /// If the handler returns an error although the transaction was committed (the answer to the commit was lost,
    /// say), the job stays completed. If it returns `Ok` although the transaction was not committed, the attempt has
    /// failed and is retried.
    ///
    /// # Errors
    /// [`Error::Stale`] if the job belongs to another attempt. Then this attempt is cancelled, and its transaction
    /// must be rolled back, which dropping it does. [`Error::Database`] as any statement.
    pub async fn complete_in<T: InTransaction>(&self, tx: &T) -> Result<(), Error> {
        let tx = self.database.schema().on(tx);
        self.complete(&tx, finish::complete_in(&tx, self.job.fence(), self.completed_seconds)).await
    }

    /// As [`Context::complete_in`], and keeps `output` with the job. The value that the handler returns afterwards is
    /// not kept: the job is finished by then.
    ///
    /// # Errors
    /// As [`Context::complete_in`]. [`Error::Invalid`] for an output that is too large or cannot be stored.
    pub async fn complete_in_with_output<T: InTransaction>(
        &self,
        tx: &T,
        output: &impl Serialize,
    ) -> Result<(), Error> {
        let tx = self.database.schema().on(tx);
        let output = output_json(output)?;
        self.complete(&tx, finish::complete_in_with_output(&tx, self.job.fence(), self.completed_seconds, &output))
            .await
    }

    async fn complete(
        &self,
        tx: &impl InTransaction,
        completing: impl Future<Output = Result<bool, Error>>,
    ) -> Result<(), Error> {
        // Before the statement: if this future is dropped, it is not known how far the statement came.
        self.job.complete_in_transaction();
        match completing.await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                if error.is_about_the_database() {
                    self.on_refused_completion(&error).await;
                }
                return Err(error);
            }
        }
        // A second call in the same transaction finds the job already completed by the first.
        if finish::is_completed_in(tx, self.job.fence()).await? {
            return Ok(());
        }
        self.job.stop(StopReason::Lost);
        Err(Error::Stale(self.job.id))
    }

    /// The attempt does not count if it fails now: another one would meet the same database.
    async fn on_refused_completion(&self, error: &Error) {
        tracing::warn!(
            job_id = self.job.id,
            kind = self.job.kind,
            %error,
            "the database refuses the completion of a job in its handler's transaction; the job runs again"
        );
        self.job.refuse_completion();
        if error.lacks_partition() {
            // For the next attempt: this transaction has failed.
            if let Err(error) = make_partition_for(&self.database, self.completed_seconds).await {
                tracing::warn!(%error, "history partition not made");
            }
        }
    }
}
