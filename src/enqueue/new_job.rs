//! A job that is not in the database yet.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Due;
use super::defaults::{Defaults, check_max_attempts};
use crate::Error;
use crate::job::{Args, DEFAULT_MAX_ATTEMPTS, DEFAULT_QUEUE, Job, Priority, check_kind, check_queue, check_unique_key};

/// A job to be added, of a kind known to the compiler ([`NewJob::of`]) or only at run time
/// ([`NewJob::new`]). Checked as it is built.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub(crate) kind: String,
    pub(crate) args: Args,
    pub(crate) queue: String,
    pub(crate) priority: Priority,
    pub(crate) due: Due,
    max_attempts: u32,
    pub(crate) unique_key: Option<String>,
    /// Which of the options were said by the call or the kind, so that defaults leave them alone.
    said: Said,
}

#[derive(Clone, Copy, Debug, Default)]
struct Said {
    queue: bool,
    priority: bool,
    max_attempts: bool,
}

impl NewJob {
    /// A job with this payload, and the options of its kind.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a payload or a constant of the kind that is not allowed.
    pub fn of<J: Job>(payload: &J) -> Result<Self, Error> {
        let mut job = Self::new(J::KIND, Args::of(payload)?)?;
        if let Some(queue) = J::QUEUE {
            job = job.queue(queue)?;
        }
        if let Some(priority) = J::PRIORITY {
            job = job.priority(priority);
        }
        if let Some(attempts) = J::MAX_ATTEMPTS {
            job = job.limit_attempts(attempts)?;
        }
        Ok(job)
    }

    /// A job of the kind with this name.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name.
    pub fn new(kind: &str, args: Args) -> Result<Self, Error> {
        check_kind(kind)?;
        Ok(Self {
            kind: kind.to_owned(),
            args,
            queue: DEFAULT_QUEUE.to_owned(),
            priority: Priority::default(),
            due: Due::Now,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            unique_key: None,
            said: Said::default(),
        })
    }

    /// See [`Enqueue::queue`](super::Enqueue::queue).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name.
    pub fn queue(mut self, name: &str) -> Result<Self, Error> {
        check_queue(name)?;
        name.clone_into(&mut self.queue);
        self.said.queue = true;
        Ok(self)
    }

    /// See [`Enqueue::priority`](super::Enqueue::priority).
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self.said.priority = true;
        self
    }

    /// See [`Enqueue::max_attempts`](super::Enqueue::max_attempts).
    ///
    /// # Errors
    /// [`Error::Invalid`] outside of 1 to 10,000.
    pub fn limit_attempts(mut self, attempts: u32) -> Result<Self, Error> {
        check_max_attempts(attempts)?;
        self.max_attempts = attempts;
        self.said.max_attempts = true;
        Ok(self)
    }

    /// See [`Enqueue::run_at`](super::Enqueue::run_at).
    ///
    /// # Errors
    /// [`Error::Invalid`] outside of the years 1970 to 9999.
    pub fn run_at(mut self, time: DateTime<Utc>) -> Result<Self, Error> {
        self.due = Due::checked_at(time)?;
        Ok(self)
    }

    /// See [`Enqueue::run_in`](super::Enqueue::run_in).
    ///
    /// # Errors
    /// [`Error::Invalid`] for more than 1,000 years.
    pub fn run_in(mut self, delay: Duration) -> Result<Self, Error> {
        self.due = Due::checked_after(delay)?;
        Ok(self)
    }

    /// See [`Enqueue::unique_key`](super::Enqueue::unique_key).
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty or too long key, or one with a NUL.
    pub fn unique_key(mut self, key: &str) -> Result<Self, Error> {
        check_unique_key(key)?;
        self.unique_key = Some(key.to_owned());
        Ok(self)
    }

    /// See [`Enqueue::defaults`](super::Enqueue::defaults).
    #[must_use]
    pub fn defaults(mut self, defaults: &Defaults) -> Self {
        if let (false, Some(queue)) = (self.said.queue, &defaults.queue) {
            self.queue.clone_from(queue);
        }
        if let (false, Some(priority)) = (self.said.priority, defaults.priority) {
            self.priority = priority;
        }
        if let (false, Some(attempts)) = (self.said.max_attempts, defaults.max_attempts) {
            self.max_attempts = attempts;
        }
        self
    }

    pub(crate) fn max_attempts(&self) -> i32 {
        // At most 10,000, as checked when it was set.
        i32::try_from(self.max_attempts).unwrap_or(i32::MAX)
    }
}
