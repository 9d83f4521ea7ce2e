//! Enqueueing jobs: one, many, or very many.
//!
//! Promises: a job and its notification commit together, in the caller's transaction if any. Bad input is
//! refused with [`Error::Invalid`] before any SQL is sent. All paths use the same defaults and write the same row.
//! Other languages call the SQL function `postrider.enqueue`.
//!
//! It begins no transaction, and changes no setting of the caller's connection.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::Error;
pub use crate::job::{Defaults, NewJob};
use crate::job::{Job, JobId, Priority, Time};
use crate::postgres::{InTransaction, Queryable};
use crate::store;

/// The maximum number of jobs in one [`enqueue_many`]. [`enqueue_copy`] takes any number.
pub const MAX_BATCH: usize = 10_000;

/// Enqueues one job in one round trip and returns its id.
///
/// In a transaction, the job is invisible and wakes no worker until commit, and is gone after a rollback.
///
/// The connection is yours: no setting of it is changed. If another transaction holds the job's unique key, this waits
/// until it ends, or until your `lock_timeout` or `statement_timeout`. Dropping the future during that wait leaves the
/// connection busy.
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

/// A job for [`enqueue`](enqueue()): set options, then `.await` it.
///
/// ```no_run
/// # use postrider::Job;
/// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
/// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
/// # async fn example(client: tokio_postgres::Client, mail: SendMail) -> Result<(), postrider::Error> {
/// use std::time::Duration;
///
/// postrider::enqueue(&client, &mail).queue("mail").max_attempts(5).run_in(Duration::from_secs(60)).await?;
/// # Ok(()) }
/// ```
#[must_use = "nothing is added until it is awaited"]
pub struct Enqueue<'c, C> {
    client: &'c C,
    job: Result<NewJob, Error>,
}

impl<C> Enqueue<'_, C> {
    /// The queue: a name of 1 to 64 bytes, of the characters of a [kind](Job::KIND). It need not exist. Default: the
    /// kind's, else that of [`defaults`](Self::defaults), else `default`.
    ///
    /// ```no_run
    /// # use postrider::Job;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
    /// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
    /// # async fn example(client: tokio_postgres::Client, mail: SendMail) -> Result<(), postrider::Error> {
    /// postrider::enqueue(&client, &mail).queue("mail").await?;
    /// # Ok(()) }
    /// ```
    pub fn queue(self, name: &str) -> Self {
        self.with(|job| job.queue(name))
    }

    /// The priority within the queue. Default: the kind's, else that of [`defaults`](Self::defaults), else normal.
    ///
    /// ```no_run
    /// # use postrider::Job;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
    /// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
    /// # async fn example(client: tokio_postgres::Client, mail: SendMail) -> Result<(), postrider::Error> {
    /// postrider::enqueue(&client, &mail).priority(postrider::Priority::Low).await?;
    /// # Ok(()) }
    /// ```
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|job| Ok(job.priority(priority)))
    }

    /// The maximum number of attempts, with the first: 1 to 10,000. A snooze and a release are not counted. Default: the
    /// kind's, else that of [`defaults`](Self::defaults), else 25.
    ///
    /// ```no_run
    /// # use postrider::Job;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
    /// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
    /// # async fn example(client: tokio_postgres::Client, mail: SendMail) -> Result<(), postrider::Error> {
    /// postrider::enqueue(&client, &mail).max_attempts(3).await?;
    /// # Ok(()) }
    /// ```
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.with(|job| job.max_attempts(attempts))
    }

    /// The due time, by the database's clock, to the microsecond: the job does not start earlier. In the years 1970 to
    /// 9999; a time in the past is due at once. Replaces [`run_in`](Self::run_in). Default: now.
    ///
    /// ```no_run
    /// # use postrider::Job;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
    /// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
    /// # async fn example(client: tokio_postgres::Client, mail: SendMail) -> Result<(), postrider::Error> {
    /// use std::time::{Duration, SystemTime};
    ///
    /// let tomorrow = SystemTime::now() + Duration::from_secs(24 * 3600);
    /// postrider::enqueue(&client, &mail).run_at(tomorrow).await?;
    /// # Ok(()) }
    /// ```
    pub fn run_at(self, time: impl Into<Time>) -> Self {
        self.with(|job| job.run_at(time))
    }

    /// The delay until it is due, from the database's current time, to the microsecond. At most 1,000 years. Replaces
    /// [`run_at`](Self::run_at). Default: none.
    ///
    /// ```no_run
    /// # use postrider::Job;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
    /// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
    /// # async fn example(client: tokio_postgres::Client, mail: SendMail) -> Result<(), postrider::Error> {
    /// postrider::enqueue(&client, &mail).run_in(std::time::Duration::from_secs(60)).await?;
    /// # Ok(()) }
    /// ```
    pub fn run_in(self, delay: Duration) -> Self {
        self.with(|job| job.run_in(delay))
    }

    /// While an unfinished job with this key exists, in any queue and of any kind, the enqueue adds nothing and returns
    /// its id. 1 to 512 bytes without NUL. Default: none. [`enqueue_copy`] refuses it.
    ///
    /// ```no_run
    /// # use postrider::Job;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
    /// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
    /// # async fn example(client: tokio_postgres::Client, mail: SendMail) -> Result<(), postrider::Error> {
    /// let first = postrider::enqueue(&client, &mail).unique_key("welcome/7").await?;
    /// let again = postrider::enqueue(&client, &mail).unique_key("welcome/7").await?;
    /// // Unless the first has finished in between.
    /// assert_eq!(first, again);
    /// # Ok(()) }
    /// ```
    pub fn unique_key(self, key: &str) -> Self {
        self.with(|job| job.unique_key(key))
    }

    /// The client's defaults, for options that neither the call nor the kind sets, whether before or after this.
    ///
    /// ```no_run
    /// # use postrider::Job;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
    /// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
    /// # async fn example(client: tokio_postgres::Client, mail: SendMail) -> Result<(), postrider::Error> {
    /// use postrider::enqueue::Defaults;
    ///
    /// let defaults = Defaults::default().queue("mail")?.max_attempts(10)?;
    /// postrider::enqueue(&client, &mail).defaults(&defaults).await?;
    /// # Ok(()) }
    /// ```
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
        Box::pin(async move { store::enqueue::enqueue(self.client, &self.job?).await })
    }
}

/// Enqueues one job of a kind known only at run time and returns its id.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// use postrider::{Args, NewJob};
///
/// let job = NewJob::new("send_mail", Args::parse(r#"{"to": "ada@example.org"}"#)?)?;
/// let id = postrider::enqueue::enqueue_job(&client, &job).await?;
/// # let _ = id;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Database`].
pub async fn enqueue_job(client: &impl Queryable, job: &NewJob) -> Result<JobId, Error> {
    store::enqueue::enqueue(client, job).await
}

/// Enqueues 1 to 10,000 jobs in one statement, with one notification per queue. Returns their ids in the order of
/// `jobs`. If an unfinished job holds the unique key of one of them, the result has the id of the unfinished job.
///
/// ```no_run
/// # use postrider::Job;
/// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
/// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
/// # async fn example(client: tokio_postgres::Client, mail: SendMail) -> Result<(), postrider::Error> {
/// use postrider::NewJob;
///
/// let jobs = [NewJob::of(&mail)?, NewJob::of(&mail)?.queue("later")?];
/// let ids = postrider::enqueue_many(&client, &jobs).await?;
/// assert_eq!(ids.len(), 2);
/// # Ok(()) }
/// ```
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
    store::enqueue::enqueue_many(client, jobs).await
}

/// Enqueues any number of jobs by COPY, in bounded memory. Returns their number. Runs in the caller's transaction, so
/// that rows and notifications commit together.
///
/// ```no_run
/// # use postrider::Job;
/// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
/// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
/// # async fn example(mut client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// use postrider::NewJob;
///
/// let tx = client.transaction().await?;
/// let jobs = (0..1_000_000).map(|n| NewJob::of(&SendMail { to: format!("{n}@example.org") }));
/// postrider::enqueue_copy(&tx, jobs).await?;
/// tx.commit().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Invalid`] for a job with a unique key, which COPY cannot check, and any error among the items of `jobs`.
/// The transaction cannot be used after that. [`Error::Database`].
pub async fn enqueue_copy(
    tx: &impl InTransaction,
    jobs: impl IntoIterator<Item = Result<NewJob, Error>>,
) -> Result<u64, Error> {
    let now = store::enqueue::database_now(tx).await?;
    let without_keys = jobs.into_iter().map(|job| {
        job.and_then(|job| match job.unique_key {
            Some(_) => Err(Error::invalid("unique_key", "cannot be used with copy")),
            None => Ok(job),
        })
    });
    // The earliest due time per queue: bounded by the number of queues, not of jobs.
    let mut first_due = std::collections::HashMap::<String, DateTime<Utc>>::new();
    let count = store::enqueue::copy_jobs(tx, without_keys, now, |job, run_at| match first_due.get_mut(&job.queue) {
        Some(due) => *due = run_at.min(*due),
        None => drop(first_due.insert(job.queue.clone(), run_at)),
    })
    .await?;
    let (queues, run_ats): (Vec<&str>, Vec<DateTime<Utc>>) =
        first_due.iter().map(|(queue, due)| (queue.as_str(), *due)).unzip();
    store::enqueue::announce(tx, &queues, &run_ats).await?;
    Ok(count)
}
