//! Running jobs.
//!
//! ```text
//!  listener ── wake ──▶ fetcher ──▶ executor ──▶ finisher
//!                          │            ▲
//!                       claim        lease, control: cancel, give up
//! ```

mod context;
mod job_error;
mod retention;
mod shutdown;

use std::future::Future;
use std::time::Duration;

use uuid::Uuid;

pub use context::Context;
pub use job_error::JobError;
pub use retention::Retention;
pub use shutdown::Shutdown;

use crate::job::Job;
use crate::{Database, Error};

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Attempts that ended by themselves, well or not.
    pub completed: u64,
    /// Attempts that were cut off by the shutdown.
    pub abandoned: u64,
}

/// A worker, configured and not yet running. `S` is the state shared by its handlers.
pub struct Worker<S> {
    database: Database,
    state: S,
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// A worker with no queues and no handlers yet.
    pub fn new(database: Database, state: S) -> Self {
        Self { database, state }
    }

    /// Serve this queue with at most `concurrency` jobs at once (1 to 10,000).
    #[must_use]
    pub fn queue(self, name: &str, concurrency: usize) -> Self {
        let _ = (name, concurrency);
        self
    }

    /// Run jobs of kind `J` with this handler.
    #[must_use]
    pub fn handle<J, F, Fut>(self, handler: F) -> Self
    where
        J: Job,
        F: Fn(J, Context<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        let _ = handler;
        self
    }

    /// Enqueue a `J` at every multiple of `interval`, once for the whole fleet.
    #[must_use]
    pub fn every<J: Job + Default>(self, interval: Duration) -> Self {
        let _ = interval;
        self
    }

    /// Enqueue a `J` each time a worker process starts.
    #[must_use]
    pub fn at_start<J: Job + Default>(self) -> Self {
        self
    }

    /// How often to look for jobs without being told, 10 ms to 1 h. Default: 1 s.
    #[must_use]
    pub fn poll_interval(self, interval: Duration) -> Self {
        let _ = interval;
        self
    }

    /// Whether to LISTEN. Default: yes.
    #[must_use]
    pub fn listen(self, listen: bool) -> Self {
        let _ = listen;
        self
    }

    /// Without a heartbeat for so long, the worker is given up. Default: 15 s.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        let _ = lease;
        self
    }

    /// How long running jobs may take to end once the shutdown has begun. Default: 10 s.
    #[must_use]
    pub fn shutdown_timeout(self, timeout: Duration) -> Self {
        let _ = timeout;
        self
    }

    /// The id of this worker process, as first registered.
    #[must_use]
    pub fn id(&self) -> Uuid {
        Uuid::nil()
    }

    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// [`Error::Connect`] and [`Error::SchemaTooOld`] at start; never for a passing fault later.
    pub async fn run(self, shutdown: Shutdown) -> Result<Summary, Error> {
        let _ = (self.database, self.state);
        shutdown.begun().await;
        Ok(Summary { completed: 0, abandoned: 0 })
    }
}
