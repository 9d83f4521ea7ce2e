//! Errors of commands, worded for their user.
//!
//! Promise: the text contains what happened, with what value, and what to do next. It is one line and contains no
//! password.

use super::exit;
use crate::error::Error;
use crate::job::JobId;
use crate::program::environment::NotUnicode;
use crate::program::logging::LoggingError;
use crate::program::visible::visible;

/// Why a command did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Wrong usage. Nothing was done.
    Usage(String),
    /// A failure.
    Failed(String),
    /// A partial failure. Its parts have been reported.
    AlreadyReported,
}

impl Failure {
    /// An error about one of several jobs. Names the job if the error does not.
    pub fn of_job(id: JobId, error: Error) -> Self {
        match error {
            Error::Database(_) => Self::Failed(format!("job {id}: {error}")),
            error => error.into(),
        }
    }

    /// Reports it on standard error. Returns the exit status.
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
            Self::AlreadyReported => exit::FAILED,
        }
    }
}

/// One line on standard error.
pub(super) fn tell(text: &str) {
    crate::program::tell(&format!("worker: {}", visible(text)));
}

impl From<LoggingError> for Failure {
    fn from(error: LoggingError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<NotUnicode> for Failure {
    fn from(error: NotUnicode) -> Self {
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

/// What to do next, if the error does not say so.
fn advice(error: &Error) -> Option<&'static str> {
    match error {
        Error::Connect { .. } => Some("see that Postgres runs and that DATABASE_URL is right (scripts/dev starts one)"),
        Error::TimedOut(_) => Some("try again, or see in pg_stat_activity what holds it up"),
        Error::NotFound(_) => Some("`worker list` shows which there are"),
        error if error.lacks_schema() => {
            Some("the schema is missing or older than this release needs: run `worker migrate`")
        }
        _ => None,
    }
}
