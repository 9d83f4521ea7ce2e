//! What a handler returns when it does not simply succeed.

use std::error::Error as StdError;
use std::time::Duration;

/// A box for any error.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why an attempt did not complete its job, and what to do next.
///
/// Any error converts into [`JobError::Retry`] by `?`. For that reason this type does not itself
/// implement [`std::error::Error`].
///
/// `anyhow::Error`, `eyre::Report` and `Box<dyn Error>` do not implement `std::error::Error`, so `?` does not convert
/// them. Write `.map_err(JobError::retry)?`. If a whole function returns such a type, convert its result once:
///
/// ```no_run
/// # use postrider::{Context, Database, Job, JobError, Worker};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
/// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
/// // As well with `anyhow::Result<()>` or `eyre::Result<()>`.
/// async fn send(mail: SendMail) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///     if mail.to.is_empty() {
///         return Err("to nobody".into());
///     }
///     Ok(())
/// }
///
/// # fn example(database: Database) {
/// Worker::new(database, ()).handle(|mail: SendMail, _cx: Context<()>| async move {
///     send(mail).await.map_err(JobError::retry)
/// });
/// # }
/// ```
#[derive(Debug)]
pub enum JobError {
    /// The attempt failed. Retry after the policy's delay, or this one. The failure of the last attempt discards the
    /// job.
    Retry {
        /// What went wrong.
        error: BoxError,
        /// The delay before the next attempt, instead of the policy's.
        after: Option<Duration>,
    },
    /// The attempt failed, and no other can succeed: discard the job.
    Discard(BoxError),
    /// Nothing went wrong, but it is too early: run again after this time. Does not count as an attempt.
    Snooze(Duration),
    /// The job is not wanted any more: cancel it. Final.
    Cancel(BoxError),
}

impl JobError {
    /// Retries after the policy's delay.
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Self::Retry { error: error.into(), after: None }
    }

    /// Retries after this delay.
    pub fn retry_after(error: impl Into<BoxError>, delay: Duration) -> Self {
        Self::Retry { error: error.into(), after: Some(delay) }
    }

    /// Discards the job.
    pub fn discard(error: impl Into<BoxError>) -> Self {
        Self::Discard(error.into())
    }

    /// Runs the job again later. Does not count as an attempt.
    #[must_use]
    pub fn snooze(delay: Duration) -> Self {
        Self::Snooze(delay)
    }

    /// The error that it was made of, with its causes. None for a snooze.
    ///
    /// ```
    /// # use postrider::JobError;
    /// let error = JobError::from(std::io::Error::other("no luck"));
    /// assert!(error.source().is_some_and(|cause| cause.is::<std::io::Error>()));
    /// ```
    #[must_use]
    pub fn source(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        match self {
            Self::Retry { error, .. } | Self::Discard(error) | Self::Cancel(error) => Some(&**error),
            Self::Snooze(_) => None,
        }
    }

    /// Cancels the job.
    pub fn cancel(reason: impl Into<BoxError>) -> Self {
        Self::Cancel(reason.into())
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::Retry { error: Box::new(error), after: None }
    }
}
