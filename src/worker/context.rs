//! What a handler can ask about its attempt, and the completion of its job in its own transaction.
//!
//! No other outcome is recorded here: a handler returns it.

use std::sync::Arc;

use uuid::Uuid;

use crate::error::Error;
use crate::job::JobId;
#[cfg(doc)]
use crate::postgres::AnyTransaction;
#[cfg(feature = "testing")]
use crate::postgres::TestTransaction;
use crate::postgres::{Database, Transaction};
use crate::worker::complete_in::{Attempt, CompleteIn};
use crate::worker::handles::WorkerHandles;
use crate::worker::in_flight::InFlightJob;

/// The attempt that a handler runs, and the worker's shared state of type `S`.
///
/// Clones are of the same attempt.
pub struct Context<S> {
    job: Arc<InFlightJob>,
    queue: Arc<str>,
    completed_seconds: i64,
    pub(super) max_output_bytes: usize,
    database: Database,
    state: Arc<S>,
    /// The transaction of the test that runs it.
    #[cfg(feature = "testing")]
    pub(super) lent: Option<TestTransaction>,
}

impl<S> Clone for Context<S> {
    fn clone(&self) -> Self {
        Self {
            job: Arc::clone(&self.job),
            queue: Arc::clone(&self.queue),
            completed_seconds: self.completed_seconds,
            max_output_bytes: self.max_output_bytes,
            database: self.database.clone(),
            state: Arc::clone(&self.state),
            #[cfg(feature = "testing")]
            lent: self.lent.clone(),
        }
    }
}

impl<S> Context<S> {
    pub(super) fn new(handles: &WorkerHandles, job: &Arc<InFlightJob>, queue: &Arc<str>, state: &Arc<S>) -> Self {
        let config = &handles.config;
        Self {
            job: Arc::clone(job),
            queue: Arc::clone(queue),
            completed_seconds: config.retention.completed_seconds(),
            max_output_bytes: config.max_output_bytes,
            database: handles.database.clone(),
            state: Arc::clone(state),
            #[cfg(feature = "testing")]
            lent: None,
        }
    }

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

    /// Adds a value for the handler and the other middleware of this attempt, in place of a former one of its type.
    ///
    /// See [`Worker::middleware`](crate::Worker::middleware).
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) {
        self.job.extensions.insert(value);
    }

    /// The value of this type that [`Context::insert`] has added to this attempt.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.job.extensions.get()
    }

    /// The database of the queue, with its pool.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Begins a transaction on a connection of the pool, for which it waits like [`Database::client`]. It is rolled back
    /// unless it is committed.
    ///
    /// ```
    /// # use postrider::{Context, JobError};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Ship { order: i64 }
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Notify { order: i64 }
    /// # impl postrider::Job for Notify { const KIND: &'static str = "notify"; }
    /// async fn ship(job: Ship, cx: Context<()>) -> Result<(), JobError> {
    ///     let tx = cx.begin().await?;
    ///     tx.execute("UPDATE orders SET shipped_at = now() WHERE id = $1", &[&job.order]).await?;
    ///     postrider::enqueue(&tx, &Notify { order: job.order }).await?;
    ///     cx.complete_in(&tx).await?;
    ///     tx.commit().await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// A test that runs its jobs in a transaction of its own lends a part of that one here. There, a second one cannot be
    /// begun while one is open ([`Error::Invalid`]), nor one after the attempt has ended ([`Error::Stale`]).
    ///
    /// # Errors
    /// [`Error::Connect`], or [`Error::Database`].
    pub async fn begin(&self) -> Result<Transaction, Error> {
        #[cfg(feature = "testing")]
        if let Some(lent) = &self.lent {
            // Not in the database itself: nothing of such a test is kept.
            return lent.savepoint(|| self.job.has_ended().then_some(Error::Stale(self.job.id))).await;
        }
        self.database.begin_unlimited().await
    }

    /// Resolves when the attempt should stop: its job was cancelled, it timed out, or the worker shuts down or has
    /// lost the job. Also once it has ended. A handler that has not returned a second later is dropped at its next
    /// `.await`.
    pub async fn cancelled(&self) {
        self.job.cancel.cancelled().await;
    }

    /// Whether [`Context::cancelled`] has resolved.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.job.cancel.is_cancelled()
    }

    /// Completes the job in the handler's own transaction, so that its other effects and the completion commit
    /// together or not at all. `tx` is a transaction of any supported driver: see [`AnyTransaction`], and
    /// [`BlockingConnection`](crate::postgres::BlockingConnection) for `diesel` 2. Call it last, before the commit. Then return `Ok(())`: what the handler returns is not kept, because the job is finished by
    /// then. For an output, see [`CompleteIn::output`].
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
    /// must be rolled back, which dropping it does. [`Error::Database`] as any statement, or [`Error::Driver`].
    pub fn complete_in<T>(&self, tx: T) -> CompleteIn<'_, T> {
        let attempt = Attempt {
            job: &self.job,
            database: &self.database,
            completed_seconds: self.completed_seconds,
            max_output_bytes: self.max_output_bytes,
        };
        CompleteIn::new(attempt, tx)
    }
}
