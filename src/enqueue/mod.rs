//! Adding jobs: one, many, or very many.
//!
//! Promises: a job and its notification commit together, in the caller's transaction where there
//! is one; bad input is refused with [`Error::Invalid`] before any SQL is sent; all paths give the
//! same defaults and the same row. For other languages there is the SQL function
//! `postrider.enqueue`.

mod defaults;
mod due;
mod new_job;

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use defaults::Defaults;
pub(crate) use due::Due;
pub use new_job::NewJob;

use crate::database::{InTransaction, Queryable};
use crate::job::{Job, JobId, Priority};
use crate::{Error, store};

/// The most jobs that [`enqueue_many`] takes at once; [`copy`] takes any number.
pub const MAX_BATCH: usize = 10_000;

/// Adds one job in one round trip and returns its id.
///
/// In a transaction, the job is invisible and wakes nobody until commit, and vanishes with a
/// rollback.
///
/// ```no_run
/// # use postrider::{Job, Priority};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
/// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
/// # async fn example(database: postrider::Database) -> Result<(), Box<dyn std::error::Error>> {
/// let mut client = database.client().await?;
/// let tx = client.transaction().await?;
/// let id = postrider::enqueue(&tx, &SendMail { to: "ada@example.org".into() })
///     .priority(Priority::Urgent)
///     .await?;
/// tx.commit().await?;
/// # let _ = id; Ok(()) }
/// ```
pub fn enqueue<'c, C: Queryable, J: Job>(client: &'c C, job: &J) -> Enqueue<'c, C> {
    Enqueue { client, job: NewJob::of(job) }
}

/// A job about to be added by [`enqueue`](enqueue()): set options, then `.await` it.
#[must_use = "nothing is added until it is awaited"]
pub struct Enqueue<'c, C> {
    client: &'c C,
    job: Result<NewJob, Error>,
}

impl<C> Enqueue<'_, C> {
    /// The queue. Default: the kind's, else the client's, else `default`.
    pub fn queue(self, name: &str) -> Self {
        self.with(|job| job.queue(name))
    }

    /// The priority. Default: the kind's, else the client's, else normal.
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|job| Ok(job.priority(priority)))
    }

    /// How many attempts it has, 1 to 10,000. Default: the kind's, else the client's, else 25.
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.with(|job| job.limit_attempts(attempts))
    }

    /// Not to be started before this time, by the database's clock. Default: now.
    pub fn run_at(self, time: DateTime<Utc>) -> Self {
        self.with(|job| job.run_at(time))
    }

    /// To be started after a delay, counted from the database's now.
    pub fn run_in(self, delay: Duration) -> Self {
        self.with(|job| job.run_in(delay))
    }

    /// While an unfinished job with this key exists, its id is returned and nothing is added.
    /// 1 to 512 bytes.
    pub fn unique_key(self, key: &str) -> Self {
        self.with(|job| job.unique_key(key))
    }

    /// The client's defaults, for what neither the call nor the kind says.
    pub fn defaults(self, defaults: &Defaults) -> Self {
        self.with(|job| Ok(job.defaults(defaults)))
    }

    fn with(mut self, set: impl FnOnce(NewJob) -> Result<NewJob, Error>) -> Self {
        self.job = self.job.and_then(set);
        self
    }
}

impl<'c, C: Queryable> IntoFuture for Enqueue<'c, C> {
    type Output = Result<JobId, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { store::enqueue::enqueue(self.client.raw(), &self.job?).await })
    }
}

/// Adds one job of a kind known only at run time and returns its id.
///
/// # Errors
/// [`Error::Database`].
pub async fn enqueue_new(client: &impl Queryable, job: &NewJob) -> Result<JobId, Error> {
    store::enqueue::enqueue(client.raw(), job).await
}

/// Adds 1 to 10,000 jobs in one statement, with one notification for each queue. Returns their
/// ids in the order given; jobs whose unique key is held by an unfinished job get that job's id.
///
/// # Errors
/// [`Error::Invalid`] for an empty or too large batch,
/// [`Error::Database`].
pub async fn enqueue_many(client: &impl Queryable, jobs: &[NewJob]) -> Result<Vec<JobId>, Error> {
    if jobs.is_empty() {
        return Err(Error::invalid("jobs", "is empty"));
    }
    if jobs.len() > MAX_BATCH {
        return Err(Error::invalid("jobs", format!("has {} entries, more than {MAX_BATCH}: use copy", jobs.len())));
    }
    store::enqueue::enqueue_many(client.raw(), jobs).await
}

/// Adds any number of jobs by COPY, in bounded memory, and returns how many. The transaction is
/// the caller's, so that rows and notifications commit together.
///
/// # Errors
/// [`Error::Invalid`] for a job with a unique key, which COPY cannot
/// honour, and whatever an item of `jobs` is; the transaction is then of no more use.
/// [`Error::Database`].
pub async fn copy(
    tx: &impl InTransaction,
    jobs: impl IntoIterator<Item = Result<NewJob, Error>>,
) -> Result<u64, Error> {
    let now = store::enqueue::database_now(tx.raw()).await?;
    let without_keys = jobs.into_iter().map(|job| {
        job.and_then(|job| match job.unique_key {
            Some(_) => Err(Error::invalid("unique_key", "cannot be used with copy")),
            None => Ok(job),
        })
    });
    // The earliest due time of each queue: bounded by the number of queues, not of jobs.
    let mut first_due = std::collections::HashMap::<String, DateTime<Utc>>::new();
    let count =
        store::enqueue::copy_jobs(tx.raw(), without_keys, now, |job, run_at| match first_due.get_mut(&job.queue) {
            Some(due) => *due = run_at.min(*due),
            None => drop(first_due.insert(job.queue.clone(), run_at)),
        })
        .await?;
    let (queues, run_ats): (Vec<&str>, Vec<DateTime<Utc>>) =
        first_due.iter().map(|(queue, due)| (queue.as_str(), *due)).unzip();
    store::enqueue::announce(tx.raw(), &queues, &run_ats).await?;
    Ok(count)
}
