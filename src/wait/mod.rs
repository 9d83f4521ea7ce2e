//! Waiting until a job is finished, for request and response over the queue.
//!
//! ```text
//! wait ──▶ watched (by id) ◀── listener: one LISTEN connection a process
//!   │            ▲
//!   │            └──────────── sweep: one statement for all that are new, or may have been missed
//!   └──▶ the finished job, from the history
//! ```
//!
//! Promises: a wait ends soon after its job, whatever notifications are lost, and at its timeout at the latest, plus the
//! limits of two statements if the database does not answer. A job that nobody has waited for sends no notification. All
//! waits share one listening connection, one statement at a time that asks for their jobs, and four at a time that read
//! finished ones.
//!
//! It decides nothing about a job. It marks it as awaited, in a column that no index has.

mod listener;
mod sweep;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admin;
use crate::error::Error;
use crate::job::{JobId, JobRecord};
use crate::postgres::{Database, Limits, within};
use crate::store;
use watched::{Progress, Question, Watched};

/// The longest wait: a day. A longer timeout counts as this.
pub const MAX_WAIT: Duration = Duration::from_hours(24);

/// The most waits of a [`Waiter`] and its clones at the same time.
pub const MAX_WAITS: usize = 100_000;

/// The time limits of our statements. None of them waits for a lock.
const LIMITS: Limits = Limits { statement: Duration::from_secs(5), lock: Duration::from_secs(1) };

/// The same on our side, with the wait for a connection.
const STATEMENT_WITHIN: Duration = Duration::from_secs(6);

/// The time limit of the first look at a job, with the statement before it.
const FIRST_LOOK_WITHIN: Duration = Duration::from_secs(15);

/// The most finished jobs that are read at once, so that the waits leave connections of the pool to others.
const READS_AT_ONCE: usize = 4;

/// The delay before a job is read again after a transient error.
const RETRY: Duration = Duration::from_millis(250);

/// Waits for jobs to finish. Cheap to clone; clones share one listening connection, which the first wait opens (on the
/// [`listen_url`](Database::with_listen_url), if there is one) and the last clone closes.
///
/// ```no_run
/// # use postrider::{Database, Job, Waiter};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Add { a: i64, b: i64 }
/// # impl Job for Add { const KIND: &'static str = "add"; }
/// # async fn example(database: Database) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// let waiter = Waiter::new(&database);
/// let client = database.client().await?;
/// let add = postrider::enqueue(&client, &Add { a: 1, b: 2 }).awaited().await?;
/// drop(client);
/// match waiter.wait(add.id, Duration::from_secs(5)).await? {
///     Some(job) => println!("{}: {:?}", job.state, job.output_as::<i64>()?),
///     None => println!("not within 5 s"),
/// }
/// # Ok(()) }
/// ```
///
/// Its tasks run in the runtime of the first wait. The role of the database needs the rights of `postrider_worker`.
#[derive(Clone)]
pub struct Waiter {
    shared: Arc<Shared>,
    /// Ends the tasks with the last clone.
    _tasks: Arc<DropGuard>,
}

/// What the waits and the two tasks share.
struct Shared {
    database: Database,
    watched: Watched,
    reads: Semaphore,
    stop: CancellationToken,
    is_started: Mutex<bool>,
}

impl Waiter {
    /// A waiter for the jobs of this database and its schema. Connects at the first wait.
    ///
    /// ```
    /// # use postrider::{Database, Waiter};
    /// let waiter = Waiter::new(&Database::from_url("postgres://localhost/app")?);
    /// # let _ = waiter;
    /// # Ok::<(), postrider::Error>(())
    /// ```
    #[must_use]
    pub fn new(database: &Database) -> Self {
        let stop = CancellationToken::new();
        let shared = Shared {
            database: database.clone(),
            watched: Watched::default(),
            reads: Semaphore::new(READS_AT_ONCE),
            stop: stop.clone(),
            is_started: Mutex::new(false),
        };
        Self { shared: Arc::new(shared), _tasks: Arc::new(stop.drop_guard()) }
    }

    /// Waits until the job is completed, cancelled or discarded, and returns it. Returns None if it is unfinished after
    /// `timeout` (at most [`MAX_WAIT`]). The job does not notice that somebody waits, or waits no more.
    ///
    /// Whatever the timeout, the wait looks at the job once, and reads it once it is finished. If the database does not
    /// answer, the first may take up to 15 s, the second up to 6 s.
    ///
    /// With [`Enqueue::awaited`](crate::enqueue::Enqueue::awaited), the job sends a notification when it finishes.
    /// Without it, the wait marks the job first. Notifications may be lost: then the wait asks after 1, 2, 4, 8 and each
    /// 15 s, in one statement for all waits.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such job: it was enqueued in a transaction that is not committed yet, its
    /// history is over, or its kind keeps no history ([`Job::KEEP_COMPLETED`](crate::Job::KEEP_COMPLETED)).
    /// [`Error::Invalid`] beyond [`MAX_WAITS`] waits. Errors of the database: of the first look at the job, and of the
    /// reading of the finished one. Transient errors of the latter only after the timeout.
    pub async fn wait(&self, id: JobId, timeout: Duration) -> Result<Option<JobRecord>, Error> {
        let begin = Instant::now();
        let deadline = begin + timeout.min(MAX_WAIT);
        let watch = self.shared.watched.watch(id)?;
        self.start();
        match timeout_at(deadline.max(begin + FIRST_LOOK_WITHIN), watch.known()).await {
            Ok(Progress::Refused) => self.shared.ask_alone(id).await?,
            Ok(_) => {}
            Err(_) => return Err(Error::TimedOut(begin.elapsed())),
        }
        loop {
            if timeout_at(deadline, watch.ended()).await.is_err() {
                return Ok(None);
            }
            match self.shared.find(id).await {
                Ok(Some(job)) if job.state.is_finished() => return Ok(Some(job)),
                // It was retried by hand since.
                Ok(Some(_)) => watch.again(),
                Ok(None) => return Err(Error::NotFound(id)),
                Err(error) if error.is_transient() && Instant::now() < deadline => tokio::time::sleep(RETRY).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts the tasks at the first wait.
    fn start(&self) {
        let mut is_started = self.shared.is_started.lock();
        if !std::mem::replace(&mut *is_started, true) {
            tokio::spawn(listener::run(Arc::clone(&self.shared)));
            tokio::spawn(sweep::run(Arc::clone(&self.shared)));
        }
    }
}

impl Shared {
    /// Marks jobs as awaited, and ends the waits for those that are finished or unknown.
    async fn ask(&self, question: &Question) -> Result<(), Error> {
        let awaited = async {
            let tx = self.database.begin(LIMITS).await?;
            tx.commit_with(store::wait::await_jobs(&tx, &question.ids)).await
        };
        for job in within(STATEMENT_WITHIN, awaited).await? {
            if job.is_unfinished {
                self.watched.is_unfinished(job.id, job.is_marked, question);
            } else {
                self.watched.end(job.id);
            }
        }
        Ok(())
    }

    /// The same for one job whose question was refused, to see why.
    async fn ask_alone(&self, id: JobId) -> Result<(), Error> {
        // Never closed.
        let _permit = self.reads.acquire().await;
        self.ask(&self.watched.question(id)).await
    }

    async fn find(&self, id: JobId) -> Result<Option<JobRecord>, Error> {
        let found = async {
            // Never closed.
            let _permit = self.reads.acquire().await;
            let tx = self.database.begin(LIMITS).await?;
            admin::find(&tx, id).await
        };
        within(STATEMENT_WITHIN, found).await
    }
}
