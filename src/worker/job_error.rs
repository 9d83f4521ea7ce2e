//! What a handler says when it does not simply succeed.

use std::error::Error as StdError;
use std::time::Duration;

/// The box that any error fits in.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why an attempt did not complete its job, and what to do next.
///
/// Any error converts into [`JobError::Retry`] by `?`. For that reason this type does not itself
/// implement [`std::error::Error`].
#[derive(Debug)]
pub enum JobError {
    /// The attempt failed: try again after the delay of the policy, or this one; the failure of
    /// the last attempt discards the job.
    Retry {
        /// What went wrong.
        error: BoxError,
        /// The delay before the next attempt, instead of the policy's.
        after: Option<Duration>,
    },
    /// The attempt failed and no other can succeed: discard the job.
    Discard(BoxError),
    /// Nothing went wrong, but it is too early: come back after this time. Spends no attempt.
    Snooze(Duration),
    /// The job is not wanted any more: cancel it. Final.
    Cancel(BoxError),
}

impl JobError {
    /// Try again after the policy's delay.
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Self::Retry { error: error.into(), after: None }
    }

    /// Try again after this delay.
    pub fn retry_after(error: impl Into<BoxError>, delay: Duration) -> Self {
        Self::Retry { error: error.into(), after: Some(delay) }
    }

    /// Give the job up.
    pub fn discard(error: impl Into<BoxError>) -> Self {
        Self::Discard(error.into())
    }

    /// Come back later without having spent an attempt.
    #[must_use]
    pub fn snooze(delay: Duration) -> Self {
        Self::Snooze(delay)
    }

    /// Cancel the job.
    pub fn cancel(reason: impl Into<BoxError>) -> Self {
        Self::Cancel(reason.into())
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::Retry { error: Box::new(error), after: None }
    }
}
