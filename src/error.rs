//! What can go wrong when talking to the queue.
//!
//! One type for the whole library, so that `?` works across its parts. What a
//! handler says about its own job is a [`JobError`](crate::JobError) instead.

use std::error::Error as StdError;

use crate::job::{JobId, State};

/// An error of the queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value was refused before any SQL was sent.
    #[error("{field} {problem}")]
    Invalid {
        /// The name of the offending field, as in the JSON form of a job.
        field: &'static str,
        /// What is wrong with it, to be read after the field's name.
        problem: String,
    },
    /// There is no such job, unfinished or in history.
    #[error("job {0} not found")]
    NotFound(JobId),
    /// The job is in a state that forbids what was asked.
    #[error("job {id} is {state}: it cannot be {verb}")]
    Forbidden {
        /// Which job.
        id: JobId,
        /// The state it was found in.
        state: State,
        /// What was asked, as a participle: "retried", "cancelled".
        verb: &'static str,
    },
    /// The job's unique key now belongs to another unfinished job.
    #[error("job {id} cannot be retried: another unfinished job holds its unique key \"{unique_key}\"")]
    KeyTaken {
        /// Which job.
        id: JobId,
        /// The key.
        unique_key: String,
    },
    /// The attempt does not own its job any more: it was given up and the job given to another. What it
    /// wanted to write is refused; its own transaction is to be rolled back.
    #[error("job {0} belongs to another attempt: this one was given up")]
    Stale(JobId),
    /// The schema is older than this release needs.
    #[error(
        "the {set} schema is at version {found}, this release needs {needed}: run `worker migrate`, or start with --migrate"
    )]
    SchemaTooOld {
        /// The migration set: `queue` or `app`.
        set: &'static str,
        /// The version found, 0 when there is no schema.
        found: u32,
        /// The version needed.
        needed: u32,
    },
    /// A migration failed or could not be started.
    #[error("migration of the {set} schema failed: {problem}")]
    Migration {
        /// The migration set: `queue` or `app`.
        set: &'static str,
        /// What went wrong.
        problem: String,
    },
    /// A database URL or one of its TLS options cannot be used.
    #[error("{0}")]
    Config(String),
    /// No connection could be made or taken from the pool.
    #[error("no database connection: {0}")]
    Connect(String),
    /// The database did not answer within a limit, in milliseconds.
    #[error("the database did not answer within {0} ms")]
    TimedOut(u64),
    /// A part of the worker panicked, and the worker has stopped. A defect: the log has its trace.
    #[error("a part of the worker panicked; its log says which")]
    Broken,
    /// The database refused or failed a statement.
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
}

impl Error {
    /// Whether the same call may succeed later: a lost connection, a restart, too many
    /// connections, a deadlock, a standby. Anything else fails again however often it is tried.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connect(_) | Self::TimedOut(_) => true,
            Self::Database(error) => error.as_db_error().is_none_or(|db| is_passing_state(db.code().code())),
            _ => false,
        }
    }

    /// Whether the statement may have taken effect all the same: its answer was lost, or cut off by
    /// the end of its session, which may come between the commit and the answer.
    pub(crate) fn leaves_doubt(&self) -> bool {
        match self {
            Self::Connect(_) => false,
            _ => self.sqlstate().is_none_or(|code| code.starts_with("57P")),
        }
    }

    /// Whether the statement waited too long for a lock.
    pub(crate) fn is_locked_out(&self) -> bool {
        self.sqlstate() == Some("55P03")
    }

    /// Whether the database ended the statement because it took too long, or somebody did.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.sqlstate() == Some("57014")
    }

    /// The SQLSTATE, where Postgres gave one.
    pub(crate) fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Database(error) => error.code().map(tokio_postgres::error::SqlState::code),
            _ => None,
        }
    }

    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }
}

/// By class: 08 connection, 40 rolled back, 53 out of resources, 55 lock not available, 57 operator
/// intervention, 58 system; 25006 is a standby that will not write.
fn is_passing_state(code: &str) -> bool {
    code == "25006" || ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => Self::Connect(describe(&error)),
            other => Self::Connect(other.to_string()),
        }
    }
}

/// The error with all that Postgres said, which the `Display` of
/// [`tokio_postgres::Error`] leaves out.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let text = format!("{} (SQLSTATE {})", db.message(), db.code().code());
        return match db.constraint() {
            Some(constraint) => format!("{text}, constraint {constraint}"),
            None => text,
        };
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
