//! Assertions about unfinished jobs.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::job::{Job, JobId, check_kind};
use crate::postgres::AnyConnection;
use crate::store::testing as store;

/// The most jobs in the message of an assertion.
const MAX_TOLD: usize = 20;

/// An unfinished job of the kind `J`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EnqueuedJob<J> {
    /// The job's id.
    pub id: JobId,
    /// The payload.
    pub job: J,
    /// The queue.
    pub queue: String,
    /// 1 (urgent) to 4 (idle).
    pub priority: i32,
    /// When it is due.
    pub run_at: DateTime<Utc>,
    /// Attempts used, including a running one.
    pub attempt: i32,
    /// The maximum number of attempts.
    pub max_attempts: i32,
    /// The unique key, if it has one.
    pub unique_key: Option<String>,
}

/// A row of the statement.
#[derive(Deserialize)]
struct Stored {
    queue: String,
    priority: i32,
    run_at: DateTime<Utc>,
    attempt: i32,
    max_attempts: i32,
    unique_key: Option<String>,
    args: Box<RawValue>,
}

/// A stored job, and its payload if it decodes.
type Found<J> = (JobId, Stored, Result<J, serde_json::Error>);

/// The unfinished jobs of a kind, the oldest first, at most 10,000. `connection` is one to
/// [`enqueue`](crate::enqueue()) on. Jobs of an uncommitted transaction are seen only there.
///
/// ```no_run
/// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
/// # impl postrider::Job for SendMail { const KIND: &'static str = "send_mail"; }
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// let mails = postrider::testing::enqueued::<SendMail, _>(&client).await?;
/// assert_eq!(mails.len(), 2);
/// assert!(mails.iter().all(|mail| mail.queue == "mail"));
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Invalid`] if the args of one do not decode as `J`; [`Error::Database`] as any statement, or
/// [`Error::Driver`].
pub async fn enqueued<'c, J: Job, C: AnyConnection<'c>>(connection: C) -> Result<Vec<EnqueuedJob<J>>, Error> {
    let decoded = |(id, stored, job): Found<J>| {
        let wrong = |error| Error::invalid("args", format!("of job {id} do not decode: {error}")).caused_by(error);
        Ok(stored.into_job(id, job.map_err(wrong)?))
    };
    find(connection).await?.into_iter().map(decoded).collect()
}

async fn find<'c, J: Job, C: AnyConnection<'c>>(connection: C) -> Result<Vec<Found<J>>, Error> {
    check_kind(J::KIND)?;
    let returned = connection.run(store::find_unfinished(J::KIND)).await?;
    let found = |(id, json): (JobId, String)| {
        let stored: Stored = serde_json::from_str(&json)
            .map_err(|error| Error::invalid("job", format!("{id} cannot be read: {error}")).caused_by(error))?;
        let job = serde_json::from_str(stored.args.get());
        Ok((id, stored, job))
    };
    store::unfinished(returned).map(found).collect()
}

impl Stored {
    fn into_job<J>(self, id: JobId, job: J) -> EnqueuedJob<J> {
        let Self { queue, priority, run_at, attempt, max_attempts, unique_key, .. } = self;
        EnqueuedJob { id, job, queue, priority, run_at, attempt, max_attempts, unique_key }
    }
}

/// The first job that has no differing fields, or a text with the near misses. For the macros.
#[doc(hidden)]
pub async fn one_like<'c, J: Job, C: AnyConnection<'c>>(
    connection: C,
    expected: &str,
    differing: impl Fn(&J) -> Vec<&'static str>,
) -> Result<EnqueuedJob<J>, String> {
    let mut near = Vec::new();
    for (id, stored, job) in find::<J, C>(connection).await.map_err(unread)? {
        let differs = match job {
            Ok(job) => {
                let fields = differing(&job);
                if fields.is_empty() {
                    return Ok(stored.into_job(id, job));
                }
                format!("differs in {}", fields.join(", "))
            }
            Err(error) => format!("does not decode: {error}"),
        };
        near.push(format!("job {id} in queue {:?} {differs}: {}", stored.queue, stored.args.get()));
    }
    let mut text = format!("no unfinished job is {expected}\n");
    if near.is_empty() {
        let _ = write!(text, "there is none of the kind {:?}", J::KIND);
    }
    for near in near.iter().take(MAX_TOLD) {
        let _ = writeln!(text, "  {near}");
    }
    if near.len() > MAX_TOLD {
        let _ = writeln!(text, "  and {} more", near.len() - MAX_TOLD);
    }
    Err(text)
}

/// Ok if no job is without differing fields, else a text with those that are. For the macros.
#[doc(hidden)]
pub async fn none_like<'c, J: Job, C: AnyConnection<'c>>(
    connection: C,
    expected: &str,
    differing: impl Fn(&J) -> Vec<&'static str>,
) -> Result<(), String> {
    let mut text = String::new();
    for (id, stored, job) in find::<J, C>(connection).await.map_err(unread)? {
        if job.is_ok_and(|job| differing(&job).is_empty()) {
            let _ = writeln!(text, "  job {id} in queue {:?}: {}", stored.queue, stored.args.get());
        }
    }
    if text.is_empty() { Ok(()) } else { Err(format!("an unfinished job is {expected}\n{text}")) }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unread(error: Error) -> String {
    format!("the jobs could not be read: {error}")
}

/// Asserts that an unfinished job has these values in its fields. Returns it, as an
/// [`EnqueuedJob`](crate::testing::EnqueuedJob). In an `async` function: it awaits.
///
/// The job is written as a pattern of Rust, with values that its fields are compared with by `==`. Without `..`, all
/// fields must be named. `connection` is one to [`enqueue`](crate::enqueue()) on, such as the transaction in which the
/// job was enqueued.
///
/// ```no_run
/// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String, urgent: bool }
/// # impl postrider::Job for SendMail { const KIND: &'static str = "send_mail"; }
/// # async fn example(tx: tokio_postgres::Transaction<'_>) -> Result<(), postrider::Error> {
/// use postrider::{assert_enqueued, refute_enqueued};
///
/// let mail = assert_enqueued!(&tx, SendMail { to: "ada@example.org", .. });
/// assert_eq!(mail.queue, "mail");
/// refute_enqueued!(&tx, SendMail { urgent: true, .. });
/// # Ok(()) }
/// ```
///
/// # Panics
/// If there is none, with what differs in the others of its kind.
#[macro_export]
macro_rules! assert_enqueued {
    ($connection:expr, $kind:path { $($fields:tt)* } $(,)?) => {{
        match $crate::__enqueued_like!(one_like, $connection, $kind { $($fields)* }).await {
            ::core::result::Result::Ok(job) => job,
            ::core::result::Result::Err(problem) => ::core::panic!("{problem}"),
        }
    }};
}

/// Asserts that no unfinished job has these values in its fields: the opposite of [`assert_enqueued!`].
///
/// # Panics
/// If there is one, with all that are.
#[macro_export]
macro_rules! refute_enqueued {
    ($connection:expr, $kind:path { $($fields:tt)* } $(,)?) => {{
        match $crate::__enqueued_like!(none_like, $connection, $kind { $($fields)* }).await {
            ::core::result::Result::Ok(()) => {}
            ::core::result::Result::Err(problem) => ::core::panic!("{problem}"),
        }
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __enqueued_like {
    ($search:ident, $connection:expr, $kind:path { .. }) => {
        $crate::__enqueued_like!($search, $connection, $kind, [], [..])
    };
    ($search:ident, $connection:expr, $kind:path { $($field:ident : $value:expr),+ , .. }) => {
        $crate::__enqueued_like!($search, $connection, $kind, [$($field: $value),+], [..])
    };
    ($search:ident, $connection:expr, $kind:path { $($field:ident : $value:expr),* $(,)? }) => {
        $crate::__enqueued_like!($search, $connection, $kind, [$($field: $value),*], [])
    };
    ($search:ident, $connection:expr, $kind:path, [$($field:ident : $value:expr),*], [$($rest:tt)*]) => {
        $crate::testing::$search(
            $connection,
            ::core::concat!(
                ::core::stringify!($kind), " { ",
                $(::core::stringify!($field), ": ", ::core::stringify!($value), ", ",)*
                ::core::stringify!($($rest)*), " }"
            ),
            |job: &$kind| {
                // Checks that these fields are there, and without `..` that they are all.
                let $kind { $($field: _,)* $($rest)* } = job;
                #[allow(unused_mut)]
                let mut differing: ::std::vec::Vec<&'static str> = ::std::vec::Vec::new();
                $(
                    if !(job.$field == $value) {
                        differing.push(::core::stringify!($field));
                    }
                )*
                differing
            },
        )
    };
}
