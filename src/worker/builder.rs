//! Setting a worker up.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::metrics::Metrics;
use super::periodic::Periodic;
use super::registry::{Handler, Registry};
use super::retry_policy::RetryPolicy;
use super::schedule::Schedule;
use super::settings::{QueueSettings, Settings};
use super::{Context, JobError, Retention, Shutdown, Summary, run};
use crate::enqueue::NewJob;
use crate::job::Job;
use crate::{Database, Error};

/// A worker, configured and not yet running. `S` is the state shared by its handlers.
///
/// ```no_run
/// use std::time::Duration;
/// use postrider::{Context, Database, Job, Shutdown, Worker};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct SendMail { to: String }
/// impl Job for SendMail { const KIND: &'static str = "send_mail"; }
///
/// struct Mailer;
/// impl Mailer {
///     async fn send(&self, _to: &str) -> Result<(), std::io::Error> { Ok(()) }
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let database = Database::from_url("postgres://localhost/app")?;
/// Worker::new(database, Mailer)
///     .queue("default", 100)
///     .handle(|mail: SendMail, cx: Context<Mailer>| async move {
///         cx.state().send(&mail.to).await?;
///         Ok(())
///     })
///     .run(Shutdown::on_signals()?)
///     .await?;
/// # Ok(()) }
/// ```
pub struct Worker<S> {
    pub(super) database: Database,
    pub(super) state: S,
    pub(super) settings: Settings,
    pub(super) registry: Registry<S>,
    pub(super) periodics: Vec<Periodic>,
    pub(super) at_start: Vec<NewJob>,
    pub(super) metrics: Arc<Metrics>,
    /// The first mistake in what was set, reported by `run`.
    pub(super) mistake: Option<Error>,
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// A worker with no queues and no handlers yet.
    pub fn new(database: Database, state: S) -> Self {
        Self {
            database,
            state,
            settings: Settings::default(),
            registry: Registry::default(),
            periodics: Vec::new(),
            at_start: Vec::new(),
            metrics: Arc::default(),
            mistake: None,
        }
    }

    /// Serve this queue with at most `concurrency` jobs at once (1 to 10,000). At least one queue
    /// is needed.
    #[must_use]
    pub fn queue(mut self, name: &str, concurrency: usize) -> Self {
        self.settings.queues.push(QueueSettings { name: name.into(), concurrency });
        self
    }

    /// Run jobs of kind `J` with this handler. Jobs of kinds without a handler are left for a
    /// worker that has one.
    #[must_use]
    pub fn handle<J, F, Fut>(mut self, handler: F) -> Self
    where
        J: Job,
        F: Fn(J, Context<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        self.registry.insert(Handler::of(handler));
        self
    }

    /// Enqueue a `J` every `interval` (100 ms to 10 years), once for the whole fleet. Ticks are
    /// counted from the first start of the first worker; those missed while no worker ran collapse
    /// into one.
    #[must_use]
    pub fn every<J: Job + Default>(self, interval: Duration) -> Self {
        self.periodic::<J>(Schedule::every(interval))
    }

    /// Enqueue a `J` by a cron expression of five fields, in UTC, once for the whole fleet. Ticks
    /// missed while no worker ran collapse into one.
    #[must_use]
    pub fn cron<J: Job + Default>(self, expression: &str) -> Self {
        self.periodic::<J>(Schedule::cron(expression))
    }

    /// Enqueue a `J` each time a worker process starts.
    #[must_use]
    pub fn at_start<J: Job + Default>(mut self) -> Self {
        match NewJob::of(&J::default()) {
            Ok(job) => self.at_start.push(job),
            Err(error) => self.mistaken(error),
        }
        self
    }

    /// How often to look for jobs without being told, 10 ms to 1 h. Default: 1 s.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll_interval = interval;
        self
    }

    /// Whether to LISTEN for new jobs. Default: yes.
    #[must_use]
    pub fn listen(mut self, listen: bool) -> Self {
        self.settings.listen = listen;
        self
    }

    /// Without a heartbeat for so long (2 s to 1 h), the others give this worker up and run its
    /// jobs again. A process that dies is noticed within 2 s in any case. Default: 15 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// How long running jobs may take to end once the shutdown has begun, up to 1 h. Default: 10 s.
    #[must_use]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.settings.shutdown_timeout = timeout;
        self
    }

    /// How long one attempt of a kind without a timeout of its own may take. Default: no limit.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// The delay before the next attempt, by the number of the one that failed (1 for the first),
    /// for kinds without a policy of their own. At most 365 days; a policy that panics is replaced
    /// by the default: `attempt⁴` seconds ± 10 %.
    #[must_use]
    pub fn retry_policy(mut self, policy: impl Fn(u32) -> Duration + Send + Sync + 'static) -> Self {
        self.settings.retry_policy = RetryPolicy::of(policy);
        self
    }

    /// How long finished jobs are kept.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.settings.retention = retention;
        self
    }

    /// The worker's counters, to be read while it runs.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Runs until `shutdown`, then waits for running jobs, cuts off and gives back the rest, and
    /// returns.
    ///
    /// Dropped before that, the worker ends as if its process had been killed: its handlers are
    /// dropped at their next `.await`, nothing more is recorded, other workers take its jobs over.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a setting that is not allowed; [`Error::Connect`] and
    /// [`Error::SchemaTooOld`] where the database cannot be used at the start. Never for a fault
    /// of the database later.
    pub async fn run(self, shutdown: Shutdown) -> Result<Summary, Error> {
        run::run(self, shutdown).await
    }

    fn periodic<J: Job + Default>(mut self, schedule: Result<Schedule, Error>) -> Self {
        match schedule.and_then(|schedule| Ok(Periodic { job: NewJob::of(&J::default())?, schedule })) {
            Ok(periodic) => self.periodics.push(periodic),
            Err(error) => self.mistaken(error),
        }
        self
    }

    fn mistaken(&mut self, error: Error) {
        self.mistake.get_or_insert(error);
    }
}
