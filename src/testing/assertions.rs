//! Assertions about unfinished jobs.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::job::{Job, JobId, check_kind};
#[cfg(feature = "diesel-2")]
use crate::postgres::BlockingConnection;
use crate::postgres::{AnyConnection, Returned};
use crate::store::testing as store;

/// The most jobs of a kind, so that an assertion sees all of them.
const MAX_JOBS: usize = 10_000;
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
    /// Whether it is running.
    pub running: bool,
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
    running: bool,
    priority: i32,
    run_at: DateTime<Utc>,
    attempt: i32,
    max_attempts: i32,
    unique_key: Option<String>,
    args: Box<RawValue>,
}

/// A stored job, and its payload if it decodes.
type Found<J> = (JobId, Stored, Result<J, serde_json::Error>);

/// The unfinished jobs of a kind, the oldest first. `connection` is one to
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
/// [`Error::Invalid`] if the args of one do not decode as `J`, or if there are more than 10,000; [`Error::Database`] as any statement, or
/// [`Error::Driver`].
pub async fn enqueued<'c, J: Job, C: AnyConnection<'c>>(connection: C) -> Result<Vec<EnqueuedJob<J>>, Error> {
    find(connection).await?.into_iter().map(decoded).collect()
}

/// As [`enqueued`], on a connection that blocks.
///
/// # Errors
/// As [`enqueued`].
#[cfg(feature = "diesel-2")]
pub fn enqueued_blocking<J: Job, C: BlockingConnection>(connection: C) -> Result<Vec<EnqueuedJob<J>>, Error> {
    check_kind(J::KIND)?;
    found(connection.run(store::find_unfinished(J::KIND))?)?.into_iter().map(decoded).collect()
}

async fn find<'c, J: Job, C: AnyConnection<'c>>(connection: C) -> Result<Vec<Found<J>>, Error> {
    check_kind(J::KIND)?;
    found(connection.run(store::find_unfinished(J::KIND)).await?)
}

fn found<J: Job>(returned: Returned) -> Result<Vec<Found<J>>, Error> {
    let read = |(id, json): (JobId, String)| -> Result<Found<J>, Error> {
        let stored: Stored = serde_json::from_str(&json)
            .map_err(|error| Error::invalid("job", format!("{id} cannot be read: {error}")).caused_by(error))?;
        let job = serde_json::from_str(stored.args.get());
        Ok((id, stored, job))
    };
    let all: Vec<Found<J>> = store::unfinished(returned).map(read).collect::<Result<_, _>>()?;
    if all.len() > MAX_JOBS {
        return Err(Error::invalid("kind", format!("{:?} has more than {MAX_JOBS} unfinished jobs", J::KIND)));
    }
    Ok(all)
}

fn decoded<J>((id, stored, job): Found<J>) -> Result<EnqueuedJob<J>, Error> {
    let wrong = |error| Error::invalid("args", format!("of job {id} do not decode: {error}")).caused_by(error);
    Ok(stored.into_job(id, job.map_err(wrong)?))
}

impl Stored {
    fn into_job<J>(self, id: JobId, job: J) -> EnqueuedJob<J> {
        let Self { queue, running, priority, run_at, attempt, max_attempts, unique_key, .. } = self;
        EnqueuedJob { id, job, queue, running, priority, run_at, attempt, max_attempts, unique_key }
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
        let problem = match job {
            Ok(job) if differing(&job).is_empty() => String::new(),
            Ok(_) => continue,
            // It may be one.
            Err(error) => format!(" does not decode: {error}"),
        };
        let _ = writeln!(text, "  job {id} in queue {:?}{problem}: {}", stored.queue, stored.args.get());
    }
    if text.is_empty() { Ok(()) } else { Err(format!("an unfinished job is {expected}, or may be\n{text}")) }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unread(error: Error) -> String {
    format!("the jobs could not be read: {error}")
}

/// Asserts that an unfinished job has these values in its fields. Returns it, as an
/// [`EnqueuedJob`](crate::testing::EnqueuedJob). In an `async` function: it awaits.
///
/// The kind is a struct with named fields. Each value is an expression that its field is compared with by `==`, or the
/// name of a variable like the field. Without `..`, all fields must be named. `connection` is one to
/// [`enqueue`](crate::enqueue()) on with `.await`, such as the transaction in which the job was enqueued. For a kind of
/// another form, see [`enqueued`](crate::testing::enqueued). For a transaction of `diesel` 2, `enqueued_blocking` is there.
/// The test must see the fields.
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
/// If there is none, with what differs in the others of its kind. If the jobs cannot be read.
#[macro_export]
macro_rules! assert_enqueued {
    ($connection:expr, $kind:path { $($fields:tt)* } $(,)?) => {
        match $crate::__enqueued_like!(one_like, $connection, $kind, [], { $($fields)* }) {
            ::core::result::Result::Ok(job) => job,
            ::core::result::Result::Err(problem) => ::core::panic!("{problem}"),
        }
    };
}

/// Asserts that no unfinished job has these values in its fields: the opposite of [`assert_enqueued!`].
///
/// # Panics
/// If there is one, or one that does not decode, with all that are. If the jobs cannot be read.
#[macro_export]
macro_rules! refute_enqueued {
    ($connection:expr, $kind:path { $($fields:tt)* } $(,)?) => {
        match $crate::__enqueued_like!(none_like, $connection, $kind, [], { $($fields)* }) {
            ::core::result::Result::Ok(()) => {}
            ::core::result::Result::Err(problem) => ::core::panic!("{problem}"),
        }
    };
}

/// Reads one field after the other into `[name: value, …]`, then searches.
#[doc(hidden)]
#[macro_export]
macro_rules! __enqueued_like {
    ($search:ident, $connection:expr, $kind:path, [$($read:tt)*], { $field:ident : $value:expr $(, $($rest:tt)*)? }) => {
        $crate::__enqueued_like!($search, $connection, $kind, [$($read)* $field: $value,], { $($($rest)*)? })
    };
    ($search:ident, $connection:expr, $kind:path, [$($read:tt)*], { $field:ident $(, $($rest:tt)*)? }) => {
        $crate::__enqueued_like!($search, $connection, $kind, [$($read)* $field: $field,], { $($($rest)*)? })
    };
    ($search:ident, $connection:expr, $kind:path, [$($read:tt)*], { .. }) => {
        $crate::__enqueued_like!(@search $search, $connection, $kind, [$($read)*], [..])
    };
    ($search:ident, $connection:expr, $kind:path, [$($read:tt)*], {}) => {
        $crate::__enqueued_like!(@search $search, $connection, $kind, [$($read)*], [])
    };
    (@search $search:ident, $connection:expr, $kind:path, [$($field:ident : $value:expr,)*], [$($rest:tt)*]) => {
        // Evaluates each once. A `let` would end temporaries too early, and hide variables named like a field.
        match ($connection, $(&$value,)*) {
            (connection, $($field,)*) => {
                $crate::testing::$search(
                    connection,
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
                            if !(job.$field == *$field) {
                                differing.push(::core::stringify!($field));
                            }
                        )*
                        differing
                    },
                )
                .await
            }
        }
    };
}
