//! The errors of the queue.
//!
//! One type for the whole library, so that `?` works everywhere. A handler returns a
//! [`JobError`](crate::worker::JobError) instead.

use std::error::Error as StdError;
use std::time::Duration;

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::{Severity, SqlState};

use crate::driver_error::DriverError;
use crate::error_chain::{causes, chain_text};
use crate::job::{JobId, State};

/// Once the description has this many bytes, no further cause is added.
const MAX_DESCRIPTION: usize = 4096;

/// Any error, as the cause of another.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// An error of the queue.
///
/// Its text is one line: what happened, with what value. It includes the causes, since the text of a
/// [`tokio_postgres::Error`] alone is often only "db error". [`source`](std::error::Error::source) has the same causes
/// for code that wants to know them:
///
/// ```no_run
/// # async fn example(database: postrider::Database) {
/// use std::error::Error as _;
///
/// if let Err(error) = database.client().await {
///     let postgres = error.source().and_then(|cause| cause.downcast_ref::<tokio_postgres::Error>());
///     eprintln!("{error}, SQLSTATE {:?}", postgres.and_then(|cause| cause.code()));
/// }
/// # }
/// ```
///
/// So a report is the text of the error, without those of its causes. One that adds them, such as `{:#}` of `anyhow`,
/// tells them twice. The text of a failed job does not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value was refused before any SQL was sent.
    #[error("{field} {problem}")]
    Invalid {
        /// The name of the offending field, as in the JSON form of a job.
        field: &'static str,
        /// The problem, worded to follow the field's name.
        problem: String,
        /// The error of the parser or serializer, if there was one.
        source: Option<Cause>,
    },
    /// The job is neither unfinished nor in the history.
    #[error("job {0} not found")]
    NotFound(JobId),
    /// The job's state does not allow the operation.
    #[error("job {id} is {state}: it cannot be {verb}")]
    InvalidState {
        /// Which job.
        id: JobId,
        /// Its state.
        state: State,
        /// The operation, as a participle: "retried", "cancelled".
        verb: &'static str,
    },
    /// Another unfinished job has the job's unique key.
    #[error("job {id} cannot be retried: another unfinished job holds its unique key \"{unique_key}\"")]
    KeyTaken {
        /// Which job.
        id: JobId,
        /// The key.
        unique_key: String,
    },
    /// Another attempt owns the job. The write of this one is refused, and its transaction must be rolled back.
    #[error("job {0} belongs to another attempt: this one is stale")]
    Stale(JobId),
    /// The schema is older than this release needs.
    #[error(
        "the {set} schema is at version {found}, this release needs {needed}: run `worker migrate`, or start with --migrate"
    )]
    SchemaTooOld {
        /// The migration set: `queue` or `app`.
        set: &'static str,
        /// The version found, 0 without a schema.
        found: u32,
        /// The version needed.
        needed: u32,
    },
    /// A migration failed or could not be started.
    #[error("migration of the {set} schema failed: {problem}")]
    Migration {
        /// The migration set: `queue` or `app`.
        set: &'static str,
        /// The problem.
        problem: String,
        /// The error of Postgres or of the migrator, if there was one.
        source: Option<Cause>,
    },
    /// A database URL or one of its TLS options cannot be used.
    #[error("{problem}")]
    Config {
        /// The problem, with the name of the variable.
        problem: String,
        /// The error of the parser, or of reading a certificate, if there was one.
        source: Option<Cause>,
    },
    /// No connection could be opened or taken from the pool.
    #[error("no database connection: {problem}")]
    Connect {
        /// The problem, with the address.
        problem: String,
        /// A [`tokio_postgres::Error`], a [`PoolError`], or an [`std::io::Error`] of the kind `TimedOut` if nothing
        /// answered. Of several hosts, that of the first one whose Postgres answered, else of the last one.
        source: Option<Cause>,
    },
    /// The database did not answer within this time.
    #[error("the database did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// A task of the worker panicked, and the worker has stopped. This is a bug. The log has the trace.
    #[error("a part of the worker panicked; its log says which")]
    WorkerPanicked,
    /// The database refused or failed a statement.
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    /// As [`Error::Database`], from another driver.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl Error {
    /// Whether the same call may succeed later: lost connection, restart, too many connections, deadlock, standby.
    /// Other errors recur on each retry.
    ///
    /// ```no_run
    /// # use postrider::Database;
    /// # async fn example(database: Database) -> Result<(), postrider::Error> {
    /// use std::time::Duration;
    /// use postrider::schema::MigrationSet;
    ///
    /// while let Err(error) = database.migrate(MigrationSet::Queue).await {
    ///     if !error.is_transient() {
    ///         return Err(error);
    ///     }
    ///     tokio::time::sleep(Duration::from_secs(1)).await;
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::TimedOut(_) => true,
            Self::Database(error) => match error.as_db_error() {
                Some(db) => is_transient_state(db.code().code()),
                // Either the connection failed, or a value could not be decoded. A retry does not fix the latter.
                None => error.is_closed() || causes(error).any(<dyn std::error::Error>::is::<std::io::Error>),
            },
            Self::Driver(error) => error.sqlstate().map_or(error.is_closed(), is_transient_state),
            _ => false,
        }
    }

    /// Whether the statement may have taken effect: its answer was lost, or its session ended, perhaps between the
    /// commit and the answer. Class 08 comes from a pooler that has lost its server.
    pub(crate) fn leaves_doubt(&self) -> bool {
        let Self::Database(error) = self else { return !matches!(self, Self::Connect { .. }) };
        error.as_db_error().is_none_or(|db| {
            matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
                || ["08", "57P"].iter().any(|class| db.code().code().starts_with(class))
        })
    }

    /// Whether the database has answered that it does not run the statement, and may answer the same next time.
    pub(crate) fn is_refusal(&self) -> bool {
        let lasts = |code: &str| !is_transient_state(code) || code == SqlState::QUERY_CANCELED.code();
        self.sqlstate().is_some_and(lasts) && !self.leaves_doubt()
    }

    /// Whether the reason lies in the database as a whole: a missing right, object or partition, no space, no writes.
    pub(crate) fn is_about_the_database(&self) -> bool {
        self.lacks_partition()
            || self.sqlstate().is_some_and(|code| {
                code == "25006" || ["3D", "3F", "42", "53", "58"].iter().any(|class| code.starts_with(class))
            })
    }

    /// Whether the database cannot store a value. Another value may succeed.
    pub(crate) fn is_about_a_value(&self) -> bool {
        self.sqlstate().is_some_and(|code| code.starts_with("22"))
    }

    /// Whether the database refused a row of the statement because of a value, a constraint, a trigger or a
    /// user-defined function. Other rows may succeed. Other refusals may be about a row, too: a trigger can raise any
    /// SQLSTATE.
    pub(crate) fn is_about_a_row(&self) -> bool {
        !self.lacks_partition()
            && self.sqlstate().is_some_and(|code| ROW_CLASSES.iter().any(|class| code.starts_with(class)))
    }

    /// Whether the statement names an object that does not exist: the schema is missing or does not match this release.
    #[cfg(feature = "bin")]
    pub(crate) fn lacks_schema(&self) -> bool {
        // Undefined table, column, function and schema.
        self.sqlstate().is_some_and(|code| ["42P01", "42703", "42883", "3F000"].contains(&code))
    }

    /// Whether the role lacks the privileges for the statement.
    pub(crate) fn lacks_privilege(&self) -> bool {
        self.sqlstate() == Some("42501")
    }

    /// Whether the history has no partition for a row. A trigger that raises the same SQLSTATE names no table.
    pub(crate) fn lacks_partition(&self) -> bool {
        let (constraint, table) = match self {
            Self::Database(error) => error.as_db_error().map_or((None, None), |db| (db.constraint(), db.table())),
            Self::Driver(error) => (error.constraint(), error.table()),
            _ => return false,
        };
        let is_check = self.sqlstate() == Some(SqlState::CHECK_VIOLATION.code());
        is_check && constraint.is_none() && table == Some("job_history")
    }

    /// Whether the statement waited too long for a lock.
    pub(crate) fn is_locked_out(&self) -> bool {
        self.sqlstate() == Some("55P03")
    }

    /// Whether the statement was cancelled, by its time limit or by request.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.sqlstate() == Some("57014")
    }

    /// The SQLSTATE, if Postgres sent one: `40001` asks for the transaction once more, `57014` tells of a time limit.
    ///
    /// ```no_run
    /// # async fn example(client: tokio_postgres::Client, job: postrider::NewJob) {
    /// let enqueued = postrider::enqueue::enqueue_job(&client, job).await;
    /// let is_locked_out = enqueued.is_err_and(|error| error.sqlstate() == Some("55P03"));
    /// # let _ = is_locked_out; }
    /// ```
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Database(error) => error.code().map(tokio_postgres::error::SqlState::code),
            Self::Driver(error) => error.sqlstate(),
            _ => None,
        }
    }

    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into(), source: None }
    }

    pub(crate) fn config(problem: impl Into<String>) -> Self {
        Self::Config { problem: problem.into(), source: None }
    }

    pub(crate) fn connect(problem: impl Into<String>) -> Self {
        Self::Connect { problem: problem.into(), source: None }
    }

    /// Keeps the error that this one was made from, in the variants that may have one. The text includes that of the
    /// cause already.
    pub(crate) fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        if let Self::Invalid { source, .. }
        | Self::Migration { source, .. }
        | Self::Config { source, .. }
        | Self::Connect { source, .. } = &mut self
        {
            *source = Some(cause.into());
        }
        self
    }
}

/// SQLSTATE classes of errors about a row: 09 and 27 triggers, 21 and 22 values, 23 constraints, 38 and 39 external
/// routines, 44 checks of views, P0 exceptions of PL/pgSQL.
const ROW_CLASSES: [&str; 9] = ["09", "21", "22", "23", "27", "38", "39", "44", "P0"];

/// By class: 08 connection, 40 rollback, 53 out of resources, 55 lock not available, 57 operator intervention, 58
/// system. 25006: a standby.
fn is_transient_state(code: &str) -> bool {
    code == "25006" || ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::connect(describe(&error)).caused_by(error),
            PoolError::PostCreateHook(HookError::Backend(error)) => {
                Self::connect(format!("a post_create hook of the pool failed: {}", describe(&error))).caused_by(error)
            }
            // Its text ends with a line break.
            other => Self::connect(other.to_string().trim_end()).caused_by(other),
        }
    }
}

/// The text of any error and its causes, until it has `enough` bytes. That of an [`Error`] includes its causes.
pub(crate) fn full_text(error: &(dyn StdError + 'static), enough: usize) -> String {
    chain_text(error, enough, <dyn StdError>::is::<Error>)
}

/// The error with the details from Postgres. The `Display` of [`tokio_postgres::Error`] omits them.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let text = format!("{} (SQLSTATE {})", db.message(), db.code().code());
        return match db.constraint() {
            Some(constraint) => format!("{text}, constraint {constraint}"),
            None => text,
        };
    }
    chain_text(error, MAX_DESCRIPTION, |_| false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("the handler failed")]
    struct OfHandler(#[source] Error);

    /// One of each variant that may have a cause, as the library makes them.
    fn with_causes() -> Vec<Error> {
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "refused");
        let postgres = || "keepalives=x".parse::<tokio_postgres::Config>().unwrap_err();
        vec![
            Error::invalid("args", "is not JSON: refused").caused_by(refused()),
            Error::Migration { set: "queue", problem: "refused".into(), source: None }.caused_by(refused()),
            Error::config("DATABASE_URL cannot be read: refused").caused_by(refused()),
            Error::connect("h:1: refused").caused_by(refused()),
            Error::from(PoolError::Backend(postgres())),
            Error::from(PoolError::Closed),
            Error::from(PoolError::PostCreateHook(HookError::Backend(postgres()))),
            Error::from(PoolError::PostCreateHook(HookError::message("no luck"))),
            Error::Database(postgres()),
        ]
    }

    #[test]
    fn each_error_has_its_cause_and_tells_it_once_on_one_line() {
        for error in with_causes() {
            assert!(error.source().is_some(), "{error:?}");
            let text = error.to_string();
            assert!(!text.contains('\n'), "{text:?}");
            assert_eq!(full_text(&error, 1000), text);
            assert_eq!(full_text(&OfHandler(error), 1000), format!("the handler failed: {text}"));
        }
    }
}
