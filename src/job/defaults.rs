//! The defaults of a client, for jobs that do not set an option.

use crate::error::Error;
use crate::job::{MAX_MAX_ATTEMPTS, Priority, check_queue};

/// Defaults of a client. Options of the call and the kind override them. They override the built-in defaults.
///
/// ```
/// use postrider::Priority;
/// use postrider::job::Defaults;
///
/// let defaults = Defaults::default().queue("mail")?.priority(Priority::Low).max_attempts(5)?;
/// # let _ = defaults;
/// # Ok::<(), postrider::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    pub(super) queue: Option<String>,
    pub(super) priority: Option<Priority>,
    pub(super) max_attempts: Option<u32>,
}

impl Defaults {
    /// The queue of jobs that set none.
    ///
    /// ```
    /// # use postrider::job::Defaults;
    /// let defaults = Defaults::default().queue("mail")?;
    /// # let _ = defaults;
    /// # Ok::<(), postrider::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name.
    pub fn queue(mut self, name: &str) -> Result<Self, Error> {
        check_queue(name)?;
        self.queue = Some(name.to_owned());
        Ok(self)
    }

    /// The priority of jobs that set none.
    ///
    /// ```
    /// # use postrider::job::Defaults;
    /// let defaults = Defaults::default().priority(postrider::Priority::Low);
    /// # let _ = defaults;
    /// # Ok::<(), postrider::Error>(())
    /// ```
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// The maximum number of attempts of jobs that set none, 1 to 10,000.
    ///
    /// ```
    /// # use postrider::job::Defaults;
    /// let defaults = Defaults::default().max_attempts(5)?;
    /// # let _ = defaults;
    /// # Ok::<(), postrider::Error>(())
    /// ```
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
