//! A job to be enqueued.

use std::time::Duration;

use super::defaults::{Defaults, check_max_attempts};
use super::due::Due;
use crate::error::Error;
use crate::job::{Args, DEFAULT_MAX_ATTEMPTS, DEFAULT_QUEUE, Job, Priority, Time};
use crate::job::{check_kind, check_queue, check_unique_key};

/// A job to be enqueued, of a kind known at compile time ([`NewJob::of`]) or only at run time ([`NewJob::new`]). Each
/// option is validated when it is set.
///
/// ```
/// use postrider::{Args, NewJob};
///
/// let job = NewJob::new("send_mail", Args::parse(r#"{"to": "ada@example.org"}"#)?)?
///     .queue("mail")?
///     .max_attempts(5)?;
/// # let _ = job;
/// # Ok::<(), postrider::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NewJob {
    pub(crate) kind: String,
    pub(crate) args: Args,
    pub(crate) queue: String,
    pub(crate) priority: Priority,
    pub(crate) due: Due,
    max_attempts: u32,
    pub(crate) unique_key: Option<String>,
    /// Which options the call or the kind has set, so that defaults do not override them.
    explicit: Explicit,
}

#[derive(Clone, Copy, Debug, Default)]
struct Explicit {
    queue: bool,
    priority: bool,
    max_attempts: bool,
}

impl NewJob {
    /// A job with this payload and the options of its kind.
    ///
    /// ```
    /// # use postrider::Job;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
    /// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
    /// use postrider::NewJob;
    ///
    /// let job = NewJob::of(&SendMail { to: "ada@example.org".into() })?;
    /// # let _ = job;
    /// # Ok::<(), postrider::Error>(())
    /// ```
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
            job = job.max_attempts(attempts)?;
        }
        Ok(job)
    }

    /// A job of the kind with this name.
    ///
    /// ```
    /// use postrider::{Args, NewJob};
    ///
    /// let job = NewJob::new("send_mail", Args::of(&serde_json::json!({"to": "ada@example.org"}))?)?;
    /// assert!(NewJob::new("send mail", Args::default()).is_err());
    /// # let _ = job;
    /// # Ok::<(), postrider::Error>(())
    /// ```
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
            explicit: Explicit::default(),
        })
    }

    /// See [`Enqueue::queue`](crate::enqueue::Enqueue::queue).
    ///
    /// ```
    /// # use postrider::{Args, NewJob};
    /// # let job = NewJob::new("send_mail", Args::default())?;
    /// let job = job.queue("mail")?;
    /// # let _ = job;
    /// # Ok::<(), postrider::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name.
    pub fn queue(mut self, name: &str) -> Result<Self, Error> {
        check_queue(name)?;
        name.clone_into(&mut self.queue);
        self.explicit.queue = true;
        Ok(self)
    }

    /// See [`Enqueue::priority`](crate::enqueue::Enqueue::priority).
    ///
    /// ```
    /// # use postrider::{Args, NewJob};
    /// # let job = NewJob::new("send_mail", Args::default())?;
    /// let job = job.priority(postrider::Priority::Low);
    /// # let _ = job;
    /// # Ok::<(), postrider::Error>(())
    /// ```
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self.explicit.priority = true;
        self
    }

    /// See [`Enqueue::max_attempts`](crate::enqueue::Enqueue::max_attempts).
    ///
    /// ```
    /// # use postrider::{Args, NewJob};
    /// # let job = NewJob::new("send_mail", Args::default())?;
    /// let job = job.max_attempts(3)?;
    /// # let _ = job;
    /// # Ok::<(), postrider::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] outside of 1 to 10,000.
    pub fn max_attempts(mut self, attempts: u32) -> Result<Self, Error> {
        check_max_attempts(attempts)?;
        self.max_attempts = attempts;
        self.explicit.max_attempts = true;
        Ok(self)
    }

    /// See [`Enqueue::run_at`](crate::enqueue::Enqueue::run_at).
    ///
    /// ```
    /// # use postrider::{Args, NewJob};
    /// # let job = NewJob::new("send_mail", Args::default())?;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let job = job.run_at(SystemTime::now() + Duration::from_secs(3600))?;
    /// # let _ = job;
    /// # Ok::<(), postrider::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] outside of the years 1970 to 9999.
    pub fn run_at(mut self, time: impl Into<Time>) -> Result<Self, Error> {
        self.due = Due::checked_at(time.into())?;
        Ok(self)
    }

    /// See [`Enqueue::run_in`](crate::enqueue::Enqueue::run_in).
    ///
    /// ```
    /// # use postrider::{Args, NewJob};
    /// # let job = NewJob::new("send_mail", Args::default())?;
    /// let job = job.run_in(std::time::Duration::from_secs(60))?;
    /// # let _ = job;
    /// # Ok::<(), postrider::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for more than 1,000 years.
    pub fn run_in(mut self, delay: Duration) -> Result<Self, Error> {
        self.due = Due::checked_after(delay)?;
        Ok(self)
    }

    /// See [`Enqueue::unique_key`](crate::enqueue::Enqueue::unique_key).
    ///
    /// ```
    /// # use postrider::{Args, NewJob};
    /// # let job = NewJob::new("send_mail", Args::default())?;
    /// let job = job.unique_key("welcome/7")?;
    /// # let _ = job;
    /// # Ok::<(), postrider::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty or too long key, or one with a NUL.
    pub fn unique_key(mut self, key: &str) -> Result<Self, Error> {
        check_unique_key(key)?;
        self.unique_key = Some(key.to_owned());
        Ok(self)
    }

    /// See [`Enqueue::defaults`](crate::enqueue::Enqueue::defaults).
    ///
    /// ```
    /// # use postrider::{Args, NewJob};
    /// # let job = NewJob::new("send_mail", Args::default())?;
    /// use postrider::job::Defaults;
    ///
    /// let job = job.defaults(&Defaults::default().queue("mail")?);
    /// # let _ = job;
    /// # Ok::<(), postrider::Error>(())
    /// ```
    #[must_use]
    pub fn defaults(mut self, defaults: &Defaults) -> Self {
        if let (false, Some(queue)) = (self.explicit.queue, &defaults.queue) {
            self.queue.clone_from(queue);
        }
        if let (false, Some(priority)) = (self.explicit.priority, defaults.priority) {
            self.priority = priority;
        }
        if let (false, Some(attempts)) = (self.explicit.max_attempts, defaults.max_attempts) {
            self.max_attempts = attempts;
        }
        self
    }

    pub(crate) fn stored_max_attempts(&self) -> i16 {
        // At most 10,000: validated when it was set.
        i16::try_from(self.max_attempts).unwrap_or(i16::MAX)
    }
}
