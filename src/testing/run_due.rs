//! A run of the jobs that are due.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use crate::error::Error;
use crate::postgres::TestTransaction;
use crate::worker::inline::Attempt;
use crate::worker::{Due, Fault, InlineWorker};

/// The most attempts of a run, unless it says otherwise.
const DEFAULT_LIMIT: usize = 10_000;

/// A run for [`TestWorker::run_due`](super::TestWorker::run_due): name a fault, if any, then `.await` it.
///
/// Jobs run one at a time, in the order of a claim. Those that they enqueue, and those that are retried or snoozed, run
/// as well once they are due. It returns all attempts, in the order in which they ended. If the future is dropped, the job
/// that it was running stays `running`: run nothing more on that database.
///
/// A fault befalls the first attempt of each job in the run. A handler may run again after it, as in production, so its
/// effects must be the same as after one attempt:
///
/// ```no_run
/// # use postrider::testing::TestWorker;
/// # async fn charges() -> Result<i64, postrider::Error> { Ok(1) }
/// # async fn example(worker: TestWorker<()>) -> Result<(), postrider::Error> {
/// use std::time::Duration;
///
/// worker.run_due(Duration::ZERO).crash_after_effect().await?;
/// assert_eq!(charges().await?, 1, "the customer was charged twice");
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Invalid`] for a worker without queues, or if the [limit](Self::limit) is reached; [`Error::Connect`],
/// [`Error::SchemaTooOld`], or [`Error::Database`] as any statement.
#[must_use = "nothing runs until it is awaited"]
pub struct RunDue<'w, S> {
    worker: &'w InlineWorker<S>,
    due: Due<'w>,
}

impl<'w, S> RunDue<'w, S> {
    pub(super) fn new(worker: &'w InlineWorker<S>, tx: Option<&'w TestTransaction>, time: Duration) -> Self {
        Self { worker, due: Due { tx, time, fault: None, limit: DEFAULT_LIMIT } }
    }

    /// The number of attempts at which the run is an error, so that it ends although a job enqueues or snoozes itself for
    /// ever. Default: 10,000.
    pub fn limit(mut self, attempts: usize) -> Self {
        self.due.limit = attempts;
        self
    }

    /// The worker dies after the handler has ended, before its outcome is recorded. Attempt 1 is
    /// [`Crashed`](super::Outcome::Crashed), and the job runs again as attempt 2. Unless the handler has completed it by
    /// [`Context::complete_in`](crate::Context::complete_in), and committed that: no crash can undo it, so attempt 1 is
    /// [`Completed`](super::Outcome::Completed), and there is no other.
    pub fn crash_after_effect(mut self) -> Self {
        self.due.fault = Some(Fault::CrashAfterEffect);
        self
    }

    /// The worker is frozen right before the handler starts, and loses its lease. Another worker runs attempt 2 of the job
    /// to its end. Then the first worker goes on: its handler runs, too, and does not know that the job is not its own.
    /// [`Context::complete_in`](crate::Context::complete_in) refuses. So two attempts are returned for each job: 2 with its
    /// outcome, then 1, which is [`Stale`](super::Outcome::Stale).
    ///
    /// A lost attempt counts: a job with one attempt in all is discarded, and only the frozen handler runs.
    pub fn lose_lease(mut self) -> Self {
        self.due.fault = Some(Fault::LoseLease);
        self
    }

    /// As [`lose_lease`](Self::lose_lease), but both handlers run at the same time. Not in a transaction of the
    /// test. Not for handlers of batches: both jobs would be in one. Blocking handlers need two threads.
    pub fn duplicate_delivery(mut self) -> Self {
        self.due.fault = Some(Fault::DuplicateDelivery);
        self
    }
}

impl<S> fmt::Debug for RunDue<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunDue").field("due", &self.due).finish_non_exhaustive()
    }
}

impl<'w, S: Send + Sync + 'static> IntoFuture for RunDue<'w, S> {
    type Output = Result<Vec<Attempt>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'w>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.worker.run_due(self.due))
    }
}
