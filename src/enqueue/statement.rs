//! The statements of an enqueue, for drivers without an adapter.

use super::EnqueueMany;
use crate::error::Error;
use crate::job::NewJob;
use crate::postgres::{Schema, Statement};
use crate::store;

/// The statement that adds a job, for a driver that is no [`AnyConnection`](crate::postgres::AnyConnection). Run it in
/// your transaction: it is all that an enqueue sends.
///
/// It returns one row. Without a unique key, its column is `id`, a `bigint`: the job is inserted. With one, its columns
/// are those of [`enqueue_many_statement`].
///
/// ```
/// use postrider::enqueue::enqueue_statement;
/// use postrider::postgres::Param;
/// use postrider::{Args, NewJob, Schema};
///
/// let job = NewJob::new("send_mail", Args::parse(r#"{"to": "ada@example.org"}"#)?)?;
/// let statement = enqueue_statement(&job, &Schema::default());
/// for param in statement.params() {
///     match param {
///         Param::Text(text) => println!("text: {text:?}"),
///         Param::Json(text) => println!("jsonb: {text}"),
///         Param::Time(time) => println!("timestamptz: {time:?}"),
///         Param::Boolean(is_true) => println!("boolean: {is_true:?}"),
///         Param::Integer(number) => println!("integer: {number}"),
///         Param::Float(number) => println!("double precision: {number}"),
///         other => unreachable!("{other:?} is only in the statement for many jobs"),
///     }
/// }
/// assert!(statement.sql().contains("$1"));
/// # Ok::<(), postrider::Error>(())
/// ```
#[must_use]
pub fn enqueue_statement<'j>(job: &'j NewJob, schema: &Schema) -> Statement<'j> {
    store::enqueue::enqueue(job, false).in_schema(schema)
}

/// As [`enqueue_statement`], for 1 to 10,000 jobs. The columns are `ids`, a `bigint[]`, and `outcomes`, a `text[]` of the
/// words of [`EnqueueOutcome`](super::EnqueueOutcome), each with one element for each job. `outcomes` is null if no job
/// has a unique key: then all are inserted.
///
/// # Errors
/// [`Error::Invalid`] for an empty or too large batch.
pub fn enqueue_many_statement<'j>(jobs: &'j [NewJob], schema: &Schema) -> Result<Statement<'j>, Error> {
    EnqueueMany { connection: (), jobs }.check()?;
    Ok(store::enqueue::enqueue_many(jobs).in_schema(schema))
}
