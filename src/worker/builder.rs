//! Configuring a worker.
//!
//! Promises: nothing connects before `run`. `run` returns the first mistake in a setting before it connects. Values are
//! checked in `config` and `registry`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::error::Error;
use crate::job::Job;
use crate::job::NewJob;
use crate::job::Retention;
use crate::observe::{EventStream, Events};
use crate::postgres::Database;
use crate::worker::Context;
use crate::worker::JobError;
use crate::worker::Shutdown;
use crate::worker::Summary;
use crate::worker::config::{Config, QueueConfig};
use crate::worker::execute::retry_policy::RetryPolicy;
use crate::worker::handler::{BlockingThreads, Handler, MAX_BATCH, MAX_BATCH_WAIT};
use crate::worker::maintain::periodic::Periodic;
use crate::worker::maintain::schedule::Schedule;
use crate::worker::metrics::Metrics;
use crate::worker::middleware::{self, HandlerOutput, Next};
use crate::worker::registry::Registry;
use crate::worker::supervisor;

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
    pub(super) config: Config,
    pub(super) registry: Registry<S>,
    pub(super) periodics: Vec<Periodic>,
    pub(super) at_start: Vec<NewJob>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: Events,
    pub(super) blocking_threads: Arc<BlockingThreads>,
    /// The first mistake in the configuration. `run` returns it.
    pub(super) mistake: Option<Error>,
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// A worker with no queues and no handlers yet.
    pub fn new(database: Database, state: S) -> Self {
        Self {
            database,
            state,
            config: Config::default(),
            registry: Registry::default(),
            periodics: Vec::new(),
            at_start: Vec::new(),
            metrics: Arc::default(),
            events: Events::default(),
            blocking_threads: Arc::default(),
            mistake: None,
        }
    }

    /// Serves this queue with at most `concurrency` running jobs (1 to 10,000). At least one queue is needed.
    #[must_use]
    pub fn queue(mut self, name: &str, concurrency: usize) -> Self {
        self.config.queues.push(QueueConfig { name: name.into(), concurrency, keep_completed: true });
        self
    }

    /// Runs jobs of kind `J` with this handler. Jobs of kinds without a handler are left to workers that have one.
    ///
    /// The value that it returns is kept with the finished job as [`JobRecord::output`](crate::JobRecord::output): any
    /// value that serializes to at most [`max_output_bytes`](Self::max_output_bytes) of JSON. A larger one fails the
    /// attempt. `()` and everything else that serializes to `null` is not kept.
    ///
    /// ```no_run
    /// # use postrider::{Context, Database, Job, Worker};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Resize { image: String }
    /// # impl Job for Resize { const KIND: &'static str = "resize"; }
    /// # async fn resize(_: &str) -> Result<u64, std::io::Error> { Ok(0) }
    /// # fn example(database: Database) {
    /// Worker::new(database, ()).queue("default", 10).handle(|job: Resize, _: Context<()>| async move {
    ///     let bytes = resize(&job.image).await?;
    ///     Ok(bytes)
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn handle<J, F, Fut, T>(mut self, handler: F) -> Self
    where
        J: Job,
        F: Fn(J, Context<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, JobError>> + Send + 'static,
        T: Serialize + 'static,
    {
        self.registry.insert(Handler::of(handler));
        self
    }

    /// Runs jobs of kind `J` with a function that blocks its thread: a synchronous library, or work for the processor.
    /// It runs on one of the worker's [`blocking_threads`](Self::blocking_threads).
    ///
    /// A thread cannot be stopped. A function that runs for long checks [`Context::is_cancelled`]. One that does not
    /// runs on after its attempt has timed out or was cut off, perhaps beside the next attempt, and keeps its thread
    /// until it returns. In the function, `tokio::runtime::Handle::current().block_on(…)` awaits a future.
    ///
    /// ```no_run
    /// # use postrider::{Context, Database, Job, JobError, Worker};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Hash { path: String }
    /// # impl Job for Hash { const KIND: &'static str = "hash"; }
    /// # fn example(database: Database) {
    /// Worker::new(database, ()).queue("default", 4).blocking_threads(4).handle_blocking(
    ///     |job: Hash, cx: Context<()>| {
    ///         let mut sum = 0_u64;
    ///         for byte in std::fs::read(&job.path)? {
    ///             if cx.is_cancelled() {
    ///                 return Err(JobError::retry("stopped"));
    ///             }
    ///             sum += u64::from(byte);
    ///         }
    ///         Ok(sum)
    ///     },
    /// );
    /// # }
    /// ```
    #[must_use]
    pub fn handle_blocking<J, F, T>(mut self, handler: F) -> Self
    where
        J: Job,
        F: Fn(J, Context<S>) -> Result<T, JobError> + Send + Sync + 'static,
        T: Serialize + 'static,
    {
        self.registry.insert(Handler::blocking(handler, Arc::clone(&self.blocking_threads)));
        self
    }

    /// Runs jobs of kind `J` in batches of at most `max` (1 to 1,000). A batch starts when it is full, or `wait` (up to
    /// 1 min) after its first job. The handler returns one result per job, in the order of the jobs.
    ///
    /// Each job is an attempt of its own: it has a slot, so the queue's concurrency limits the size of a batch, and its
    /// timeout includes the wait. A cancel or a timeout takes a job out of its batch, and the handler goes on with the
    /// others: see the [`Context`] of each. A panic fails all jobs of the batch. So does a wrong number of results.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use postrider::{Context, Database, Job, JobError, Worker};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Index { document: u64 }
    /// # impl Job for Index { const KIND: &'static str = "index"; }
    /// # async fn index_all(_: &[u64]) -> Result<(), std::io::Error> { Ok(()) }
    /// # fn example(database: Database) {
    /// Worker::new(database, ()).queue("default", 100).handle_many(
    ///     100,
    ///     Duration::from_millis(50),
    ///     |jobs: Vec<(Index, Context<()>)>| async move {
    ///         let documents: Vec<u64> = jobs.iter().map(|(job, _)| job.document).collect();
    ///         let result = index_all(&documents).await.map_err(|error| error.to_string());
    ///         jobs.iter().map(|_| result.clone().map_err(JobError::retry)).collect()
    ///     },
    /// );
    /// # }
    /// ```
    #[must_use]
    pub fn handle_many<J, F, Fut, T>(mut self, max: usize, wait: Duration, handler: F) -> Self
    where
        J: Job,
        F: Fn(Vec<(J, Context<S>)>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<Result<T, JobError>>> + Send + 'static,
        T: Serialize + 'static,
    {
        if !(1..=MAX_BATCH).contains(&max) {
            self.mistaken(Error::invalid("max", format!("of the batches is {max}, not 1 to {MAX_BATCH}")));
        }
        if wait > MAX_BATCH_WAIT {
            self.mistaken(Error::invalid("wait", format!("of the batches is {wait:?}, more than {MAX_BATCH_WAIT:?}")));
        }
        self.registry.insert(Handler::many(max, wait, handler));
        self
    }

    /// The most threads for [`handle_blocking`](Self::handle_blocking), 1 to 1,000. Default: the number of processors.
    /// A job waits for a free thread in its slot, and its timeout includes the wait.
    #[must_use]
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.config.blocking_threads = threads;
        self
    }

    /// The memory for the args of the jobs that this worker has claimed, in bytes of JSON text, 4 MiB to 1 TiB. Default:
    /// 256 MiB.
    ///
    /// A worker claims no more jobs than fit. Args of more than about 2 KB are read when their job has a slot and there
    /// is memory, so a job with large args may wait in its slot; its timeout does not include that. Small args exceed
    /// the limit by those of one claim at most. What a handler makes of its args comes on top.
    #[must_use]
    pub fn args_memory(mut self, bytes: usize) -> Self {
        self.config.args_memory = bytes;
        self
    }

    /// The largest output of a handler, in bytes of JSON text, 1 KiB to 1 MiB. Default:
    /// [`DEFAULT_MAX_OUTPUT_BYTES`](crate::worker::DEFAULT_MAX_OUTPUT_BYTES), 64 KiB. A larger output fails the attempt.
    ///
    /// The worker may hold up to 4,000 outputs in memory, until they are written.
    #[must_use]
    pub fn max_output_bytes(mut self, bytes: usize) -> Self {
        self.config.max_output_bytes = bytes;
        self
    }

    /// Enqueues a `J` every `interval` (100 ms to 10 years), once for the whole fleet. Ticks are counted from the
    /// first start of the first worker. Ticks missed while no worker ran collapse into one.
    #[must_use]
    pub fn every<J: Job + Default>(self, interval: Duration) -> Self {
        self.periodic::<J>(Schedule::every(interval))
    }

    /// Enqueues a `J` by a cron expression of five fields, in UTC, once for the whole fleet. Ticks missed while no
    /// worker ran collapse into one. A sixth field in front is for seconds, a seventh at the end for years. After the
    /// last of its times, the worker only warns at its start. Needs the feature `schedules`.
    #[cfg(feature = "schedules")]
    #[must_use]
    pub fn cron<J: Job + Default>(self, expression: &str) -> Self {
        self.periodic::<J>(Schedule::cron(expression))
    }

    /// Enqueues a `J` each time a worker process starts.
    #[must_use]
    pub fn at_start<J: Job + Default>(mut self) -> Self {
        match NewJob::of(&J::default()) {
            Ok(job) => self.at_start.push(job),
            Err(error) => self.mistaken(error),
        }
        self
    }

    /// How often to poll, 10 ms to 1 h. Default: 1 s.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.config.poll_interval = interval;
        self
    }

    /// Whether to LISTEN for new jobs. Default: yes.
    #[must_use]
    pub fn listen(mut self, listen: bool) -> Self {
        self.config.listen = listen;
        self
    }

    /// How long after its last heartbeat (2 s to 1 h) this worker is declared dead and its jobs run again elsewhere.
    /// A process that dies is noticed within 2 s in any case. Default: 15 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.config.lease = lease;
        self
    }

    /// How long running jobs may take once the shutdown has begun, up to 1 h. Default: 10 s.
    #[must_use]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.config.shutdown_timeout = timeout;
        self
    }

    /// The timeout of one attempt, for kinds without their own. Default: none.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = Some(timeout);
        self
    }

    /// The delay before the next attempt, by the number of the failed one (1 for the first), for kinds without their
    /// own policy. At most 365 days. A policy that panics is replaced by the default: `attempt⁴` seconds ± 10 %.
    #[must_use]
    pub fn retry_policy(mut self, policy: impl Fn(u32) -> Duration + Send + Sync + 'static) -> Self {
        self.config.retry_policy = RetryPolicy::of(policy);
        self
    }

    /// How long finished jobs are kept.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.config.retention = retention;
        self
    }

    /// Whether completed jobs of this queue, which was added before, are kept in the history. Default: yes. A kind with
    /// [`Job::KEEP_COMPLETED`] decides for itself; see there what it means.
    #[must_use]
    pub fn keep_completed(mut self, queue: &str, keep: bool) -> Self {
        match self.config.queues.iter_mut().find(|served| &*served.name == queue) {
            Some(served) => served.keep_completed = keep,
            None => self.mistaken(Error::invalid(
                "keep_completed",
                format!("is set for {queue:?}, a queue that is not served"),
            )),
        }
        self
    }

    /// Runs this around the handler of each attempt, of every kind: for tracing, error reports, authorization. What is
    /// added first is the outermost. It may return without [`Next::run`]: then the handler does not run.
    ///
    /// ```no_run
    /// # use postrider::{Context, Database, JobError, Worker, worker::Next};
    /// struct Tenant(String);
    ///
    /// # fn example(database: Database) {
    /// Worker::new(database, ()).middleware(|cx: Context<()>, next: Next| async move {
    ///     cx.insert(Tenant(cx.queue().to_owned())); // the handler reads it: cx.get::<Tenant>()
    ///     let result = next.run().await;
    ///     if let Err(JobError::Retry { error, .. }) = &result {
    ///         eprintln!("job {} failed: {error}", cx.job_id());
    ///     }
    ///     result
    /// });
    /// # }
    /// ```
    ///
    /// A timeout, a cancel or a panic of the handler ends the middleware, too. [`Worker::events`] tells every outcome.
    #[must_use]
    pub fn middleware<F, Fut>(mut self, function: F) -> Self
    where
        F: Fn(Context<S>, Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HandlerOutput, JobError>> + Send + 'static,
    {
        self.registry.add_middleware(middleware::layer(function));
        self
    }

    /// The worker's counters, to be read while it runs.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// The worker's events, from now on: see [`observe`](crate::observe).
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.events.subscribe()
    }

    /// Runs until `shutdown`. Then waits for running jobs, cuts off and releases the rest, and returns.
    ///
    /// Dropping the future ends the worker as if its process had been killed: its handlers are dropped at their next
    /// `.await`, nothing more is recorded, and peers rescue its jobs.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a setting that is not allowed; [`Error::Connect`] and [`Error::SchemaTooOld`] if the
    /// database cannot be used at the start. A later database error never ends the worker.
    pub async fn run(self, shutdown: Shutdown) -> Result<Summary, Error> {
        supervisor::run(self, shutdown).await
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
