//! Why a command did not do what it was asked, in words for whoever typed it.
//!
//! Promise: the text says what happened, with what value, and what to do next; it is one line
//! and holds no password.

use std::io;

use tokio_postgres::error::SqlState;

use super::exit;
use super::logging::LoggingError;
use super::visible::visible;
use crate::Error;

/// The end of a command that did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command cannot be understood; nothing was done.
    Usage(String),
    /// It was understood and failed.
    Failed(String),
    /// It failed in parts, each of which has been told.
    Told,
}

impl Failure {
    /// Says it on standard error; the exit status is returned.
    pub fn tell(&self) -> u8 {
        match self {
            Self::Usage(text) => {
                tell(text);
                exit::USAGE
            }
            Self::Failed(text) => {
                tell(text);
                exit::FAILED
            }
            Self::Told => exit::FAILED,
        }
    }
}

/// One line on standard error.
pub(super) fn tell(text: &str) {
    use std::io::Write;
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr(), "worker: {}", visible(text));
}

impl From<LoggingError> for Failure {
    fn from(error: LoggingError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match advice(&error) {
            Some(advice) => Self::Failed(format!("{text}; {advice}")),
            None => Self::Failed(text),
        }
    }
}

/// What to do next, where the error does not say so itself.
fn advice(error: &Error) -> Option<&'static str> {
    match error {
        Error::Connect(_) => Some("see that Postgres runs and that DATABASE_URL is right (scripts/dev starts one)"),
        Error::TimedOut(_) => Some("try again, or see in pg_stat_activity what holds it up"),
        Error::NotFound(_) => Some("`worker list` shows which there are"),
        Error::Database(error) => error.code().and_then(|code| {
            let schema_is_missing = [
                SqlState::INVALID_SCHEMA_NAME,
                SqlState::UNDEFINED_TABLE,
                SqlState::UNDEFINED_COLUMN,
                SqlState::UNDEFINED_FUNCTION,
            ];
            schema_is_missing
                .contains(code)
                .then_some("the schema is missing or older than this release needs: run `worker migrate`")
        }),
        _ => None,
    }
}
