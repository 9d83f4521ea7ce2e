//! Enqueueing jobs: one, many, or very many.
//!
//! Promises: a job and its notification commit together, in the caller's transaction if any. Bad input is
//! refused with [`Error::Invalid`](crate::Error::Invalid) before any SQL is sent. All paths use the same defaults and
//! write the same row, whatever the driver ([`AnyConnection`]). Other languages call the SQL function
//! `postrider.enqueue`.
//!
//! It begins no transaction, and changes no setting of the caller's connection.

mod copy;
mod many;
mod one;
mod statement;

use std::marker::PhantomData;

pub use copy::enqueue_copy;
pub use many::EnqueueMany;
pub use one::Enqueue;
pub use statement::{enqueue_many_statement, enqueue_statement};

use crate::job::Job;
pub use crate::job::{Defaults, EnqueueOutcome, Enqueued, NewJob};
#[cfg(doc)]
use crate::postgres::AnyConnection;

/// The maximum number of jobs in one [`enqueue_many`]. [`enqueue_copy`] takes any number.
pub const MAX_BATCH: usize = 10_000;

/// Enqueues one job in one round trip. Returns its id, and whether it is new.
///
/// `connection` is a connection or a transaction of any supported driver: see [`AnyConnection`]. In a transaction, the
/// job is invisible and wakes no worker until commit, and is gone after a rollback.
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
/// let mail = postrider::enqueue(&tx, &SendMail { to: "ada@example.org".into() })
///     .priority(Priority::Urgent)
///     .await?;
/// tx.commit().await?;
/// println!("job {}", mail.id);
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) for a bad option or payload, [`Error::Database`](crate::Error::Database),
/// or [`Error::Driver`](crate::Error::Driver) from another driver.
pub fn enqueue<'c, C, J: Job>(connection: C, job: &J) -> Enqueue<'c, C> {
    Enqueue { connection, job: NewJob::of(job), is_awaited: false, lifetime: PhantomData }
}

/// Enqueues one job of a kind known only at run time, as [`enqueue`](enqueue()).
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// use postrider::{Args, NewJob};
///
/// let job = NewJob::new("send_mail", Args::parse(r#"{"to": "ada@example.org"}"#)?)?;
/// let id = postrider::enqueue::enqueue_job(&client, job).await?.id;
/// # let _ = id;
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`enqueue`](enqueue()).
pub fn enqueue_job<'c, C>(connection: C, job: NewJob) -> Enqueue<'c, C> {
    Enqueue { connection, job: Ok(job), is_awaited: false, lifetime: PhantomData }
}

/// Enqueues 1 to 10,000 jobs in one statement, with one notification per queue. Returns their ids in the order of
/// `jobs`, each with whether it is new: if an unfinished job holds the unique key of one of them, its place has the id
/// of the unfinished job.
///
/// ```no_run
/// # use postrider::Job;
/// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
/// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
/// # async fn example(client: tokio_postgres::Client, mail: SendMail) -> Result<(), postrider::Error> {
/// use postrider::NewJob;
///
/// let jobs = [NewJob::of(&mail)?, NewJob::of(&mail)?.queue("later")?];
/// let enqueued = postrider::enqueue_many(&client, &jobs).await?;
/// assert_eq!(enqueued.len(), 2);
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`enqueue`](enqueue()), and [`Error::Invalid`](crate::Error::Invalid) for an empty or too large batch.
pub fn enqueue_many<C>(connection: C, jobs: &[NewJob]) -> EnqueueMany<'_, C> {
    EnqueueMany { connection, jobs }
}
