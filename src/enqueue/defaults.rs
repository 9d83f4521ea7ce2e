//! What a producer wants for jobs that say nothing themselves.

use crate::Error;
use crate::job::{MAX_MAX_ATTEMPTS, Priority, check_queue};

/// Defaults of a producer. They come after the options of the call and of the kind, and before
/// the built-in ones.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    pub(super) queue: Option<String>,
    pub(super) priority: Option<Priority>,
    pub(super) max_attempts: Option<u32>,
}

impl Defaults {
    /// The queue of jobs that name none.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name.
    pub fn queue(mut self, name: &str) -> Result<Self, Error> {
        check_queue(name)?;
        self.queue = Some(name.to_owned());
        Ok(self)
    }

    /// The priority of jobs that name none.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// The attempts of jobs that name no number, 1 to 10,000.
    ///
    /// # Errors
    /// [`Error::Invalid`] outside of that range.
    pub fn max_attempts(mut self, attempts: u32) -> Result<Self, Error> {
        check_max_attempts(attempts)?;
        self.max_attempts = Some(attempts);
        Ok(self)
    }
}

pub(super) fn check_max_attempts(attempts: u32) -> Result<(), Error> {
    if (1..=MAX_MAX_ATTEMPTS).contains(&attempts) {
        return Ok(());
    }
    Err(Error::invalid("max_attempts", format!("is {attempts}, not 1 to {MAX_MAX_ATTEMPTS}")))
}
