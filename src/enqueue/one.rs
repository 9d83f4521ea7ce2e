//! One job.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use super::Defaults;
use crate::error::Error;
#[cfg(doc)]
use crate::job::{EnqueueOutcome, Job};
use crate::job::{Enqueued, NewJob, Priority, Time};
use crate::postgres::{AnyConnection, BlockingConnection};
use crate::store;

/// A job for [`enqueue`](super::enqueue()): set options, then `.await` it.
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
    pub(super) connection: C,
    pub(super) job: Result<NewJob, Error>,
    pub(super) is_awaited: bool,
    /// Names the lifetime of the connection, which the type of its future needs.
    pub(super) lifetime: PhantomData<&'c ()>,
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
    /// it, as [`Existing`](EnqueueOutcome::Existing). 1 to 512 bytes without NUL. Default: none. [`enqueue_copy`](super::enqueue_copy) refuses it.
    ///
    /// ```no_run
    /// # use postrider::Job;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
    /// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
    /// # async fn example(client: tokio_postgres::Client, mail: SendMail) -> Result<(), postrider::Error> {
    /// let first = postrider::enqueue(&client, &mail).unique_key("welcome/7").await?;
    /// let again = postrider::enqueue(&client, &mail).unique_key("welcome/7").await?;
    /// // Unless the first has finished in between.
    /// assert_eq!(first.id, again.id);
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

    /// Somebody will [wait](crate::Waiter::wait) for the job: its finish sends a notification. Without it, the wait marks
    /// the job afterwards, which costs a statement more.
    ///
    /// Without effect on a job that [exists](EnqueueOutcome::Existing) already.
    ///
    /// ```no_run
    /// # use postrider::Job;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
    /// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
    /// # async fn example(client: tokio_postgres::Client, waiter: postrider::Waiter, mail: SendMail) -> Result<(), postrider::Error> {
    /// let sent = postrider::enqueue(&client, &mail).awaited().await?;
    /// let job = waiter.wait(sent.id, std::time::Duration::from_secs(30)).await?;
    /// # let _ = job;
    /// # Ok(()) }
    /// ```
    pub fn awaited(mut self) -> Self {
        self.is_awaited = true;
        self
    }

    fn with(mut self, set: impl FnOnce(NewJob) -> Result<NewJob, Error>) -> Self {
        self.job = self.job.and_then(set);
        self
    }
}

impl<C: BlockingConnection> Enqueue<'_, C> {
    /// Enqueues the job on a connection that blocks, in place of `.await`.
    ///
    /// # Errors
    /// As `.await`.
    pub fn execute(self) -> Result<Enqueued, Error> {
        let job = self.job?;
        store::enqueue::enqueued_one(self.connection.run(store::enqueue::enqueue(&job, self.is_awaited))?)
    }
}

impl<'c, C: AnyConnection<'c> + 'c> IntoFuture for Enqueue<'c, C> {
    type Output = Result<Enqueued, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let job = self.job?;
            store::enqueue::enqueued_one(self.connection.run(store::enqueue::enqueue(&job, self.is_awaited)).await?)
        })
    }
}
