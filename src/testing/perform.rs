//! One attempt without a database.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use crate::error::Error;
use crate::job::{Job, JobId, NewJob};
use crate::worker::inline::Outcome;
use crate::worker::{InlineWorker, Performed};

/// An attempt for [`TestWorker::perform`](super::TestWorker::perform): set options, then `.await` it.
#[must_use = "nothing runs until it is awaited"]
pub struct Perform<'w, S> {
    worker: &'w InlineWorker<S>,
    job: Result<NewJob, Error>,
    id: JobId,
    attempt: u32,
    cancel_after: Option<Duration>,
}

impl<'w, S> Perform<'w, S> {
    pub(super) fn new<J: Job>(worker: &'w InlineWorker<S>, job: &J) -> Self {
        Self { worker, job: NewJob::of(job), id: 1, attempt: 1, cancel_after: None }
    }

    /// The id that [`Context::job_id`](crate::Context::job_id) returns. Default: 1.
    pub fn job_id(mut self, id: JobId) -> Self {
        self.id = id;
        self
    }

    /// The number of the attempt, 1 to the maximum. Default: 1.
    pub fn attempt(mut self, number: u32) -> Self {
        self.attempt = number;
        self
    }

    /// The maximum number of attempts, as in [`Enqueue::max_attempts`](crate::enqueue::Enqueue::max_attempts).
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.job = self.job.and_then(|job| job.max_attempts(attempts));
        self
    }

    /// The queue that [`Context::queue`](crate::Context::queue) returns. Default: that of the kind, else `default`.
    pub fn queue(mut self, name: &str) -> Self {
        self.job = self.job.and_then(|job| job.queue(name));
        self
    }

    /// Cancels the job after this time, as an operator would.
    pub fn cancel_after(mut self, time: Duration) -> Self {
        self.cancel_after = Some(time);
        self
    }

    async fn run(self) -> Result<Outcome, Error>
    where
        S: Send + Sync + 'static,
    {
        let Self { worker, job, id, attempt, cancel_after } = self;
        let job = job?;
        let most = u32::from(job.stored_max_attempts().unsigned_abs());
        if !(1..=most).contains(&attempt) {
            return Err(Error::invalid("attempt", format!("is {attempt}, not 1 to {most}")));
        }
        worker.perform(Performed { job, id, attempt, cancel_after }).await
    }
}

impl<S> fmt::Debug for Perform<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the payload, which may be secret.
        f.debug_struct("Perform").field("job_id", &self.id).field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

impl<'w, S: Send + Sync + 'static> IntoFuture for Perform<'w, S> {
    type Output = Result<Outcome, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'w>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
