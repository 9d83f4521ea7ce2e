//! The worker of a test.

use std::fmt;
use std::time::Duration;

use super::perform::Perform;
use super::run_due::RunDue;
use crate::error::Error;
use crate::job::Job;
use crate::postgres::{Database, TestTransaction};
use crate::worker::{InlineWorker, Worker};

/// A worker that runs jobs only when a test asks for it.
pub struct TestWorker<S>(InlineWorker<S>);

/// A database that cannot be reached, for tests that need none. Each try to connect is [`Error::Connect`].
///
/// # Panics
/// Never.
#[must_use]
pub fn no_database() -> Database {
    #[allow(clippy::expect_used, reason = "a constant, which a test parses")]
    Database::from_url("host=/this-test-has-no-database dbname=none").expect("a good URL")
}

impl<S> fmt::Debug for TestWorker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestWorker").finish_non_exhaustive()
    }
}

impl<S: Send + Sync + 'static> TestWorker<S> {
    /// Of the worker of the service. Nothing connects yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the first mistake in its configuration.
    pub fn new(worker: Worker<S>) -> Result<Self, Error> {
        InlineWorker::new(worker).map(Self)
    }

    /// The state that the worker was made with.
    #[must_use]
    pub fn state(&self) -> &S {
        self.0.state()
    }

    /// Runs the handler of a job once, in its middleware, with a context of its own: neither is the job stored, nor its
    /// outcome. It needs no database, and what the handler itself writes to one is kept. The payload becomes JSON and is
    /// decoded again, as on its way through the queue.
    ///
    /// ```
    /// # use postrider::testing::{self, Outcome, TestWorker};
    /// # use postrider::{Context, Job, JobError, Worker};
    /// # use std::time::Duration;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Poll { id: i64 }
    /// # impl Job for Poll { const KIND: &'static str = "poll"; }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), postrider::Error> {
    /// # let worker = Worker::new(testing::no_database(), ()).handle(|_: Poll, cx: Context<()>| async move {
    /// #     if cx.attempt() < 3 { Err::<(), _>(JobError::snooze(Duration::from_secs(60))) } else { Ok(()) }
    /// # });
    /// let worker = TestWorker::new(worker)?;
    /// assert!(matches!(worker.perform(&Poll { id: 7 }).await?, Outcome::Snoozed { .. }));
    /// assert!(worker.perform(&Poll { id: 7 }).attempt(3).await?.is_completed());
    /// # Ok(()) }
    /// ```
    ///
    /// [`Context::complete_in`](crate::Context::complete_in) finds no job to complete here, and returns
    /// [`Error::Stale`], and the attempt is [`Released`](super::Outcome::Released) if the handler returns that: test such a
    /// handler by [`run_due`](Self::run_due).
    ///
    /// # Errors
    /// [`Error::Invalid`] if the worker does not handle its kind, or for a payload that cannot be enqueued.
    pub fn perform<J: Job>(&self, job: &J) -> Perform<'_, S> {
        Perform::new(&self.0, job)
    }

    /// Runs the jobs of the worker's queues that are due, or become due while this time passes: see
    /// [`RunDue`]. `Duration::ZERO`: what is due now. Returns the attempts.
    ///
    /// The database must be the test's own: other tests would lose their jobs, and the time of all waiting jobs moves.
    ///
    /// ```no_run
    /// # use postrider::testing::TestWorker;
    /// # async fn example(worker: TestWorker<()>) -> Result<(), postrider::Error> {
    /// use std::time::Duration;
    ///
    /// // A day passes.
    /// let ran = worker.run_due(Duration::from_hours(24)).await?;
    /// assert!(ran.iter().all(|attempt| attempt.outcome.is_completed()), "{ran:#?}");
    /// # Ok(()) }
    /// ```
    pub fn run_due(&self, time: Duration) -> RunDue<'_, S> {
        RunDue::new(&self.0, None, time)
    }

    /// As [`run_due`](Self::run_due), in the transaction of a test, which sees jobs that are not committed. What the
    /// handlers write is seen only there, and is rolled back with it, if they write by
    /// [`Context::begin`](crate::Context::begin): then tests may share a database. What they write in another way is
    /// committed, and such a handler does not see what the transaction has written.
    ///
    /// Committed jobs of the worker's queues run as well: tests share a database in which there are none. Jobs with equal
    /// unique keys wait for each other. As in production, `run_in` counts from the begin of the transaction.
    ///
    /// ```no_run
    /// # use postrider::testing::TestWorker;
    /// # use std::time::Duration;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Ship { order: i64 }
    /// # impl postrider::Job for Ship { const KIND: &'static str = "ship"; }
    /// # async fn example(worker: TestWorker<()>) -> Result<(), Box<dyn std::error::Error>> {
    /// let tx = worker.begin().await?;
    /// postrider::enqueue(&tx, &Ship { order: 7 }).await?;
    /// worker.run_due_in(&tx, Duration::ZERO).await?;
    /// let shipped = tx.query_one("SELECT shipped_at IS NOT NULL FROM orders WHERE id = 7", &[]).await?;
    /// assert!(shipped.get::<_, bool>(0));
    /// # Ok(()) }
    /// ```
    pub fn run_due_in<'w>(&'w self, tx: &'w TestTransaction, time: Duration) -> RunDue<'w, S> {
        RunDue::new(&self.0, Some(tx), time)
    }

    /// Begins a transaction for a test, on a connection of its own to the worker's database. A handler may have one part of
    /// it open at a time.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::SchemaTooOld`], or [`Error::Database`] as any statement.
    pub async fn begin(&self) -> Result<TestTransaction, Error> {
        self.0.prepare().await?;
        TestTransaction::begin(self.0.database()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_database_is_there_and_cannot_be_reached() {
        assert!(matches!(no_database().client().await, Err(Error::Connect { .. })));
    }
}
