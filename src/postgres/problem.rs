//! What is wrong with a URL.

use std::fmt;

use crate::error::{Cause, Error};

/// A problem, worded to follow the name of the variable, and the error that it was made from.
///
/// That of a text which may hold the password is left out: its `Debug` repeats the text.
#[derive(Debug)]
pub(super) struct Problem {
    text: String,
    cause: Option<Cause>,
}

impl Problem {
    pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The error for the caller. `variable` is what the URL was read from.
    pub fn of(self, variable: &str) -> Error {
        let error = Error::config(format!("{variable} {}", self.text));
        match self.cause {
            Some(cause) => error.caused_by(cause),
            None => error,
        }
    }
}

impl<T: Into<String>> From<T> for Problem {
    fn from(text: T) -> Self {
        Self { text: text.into(), cause: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}
