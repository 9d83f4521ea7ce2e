//! What a test sees of an attempt.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::job::JobId;
use crate::store::finish::Failure;
use crate::worker::outcome::Outcome as EngineOutcome;

/// An attempt that has ended in a run of the testing kit.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The job's id.
    pub job_id: JobId,
    /// The job's kind.
    pub kind: &'static str,
    /// Which attempt of the job it was, 1 for the first.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an attempt ended.
#[derive(Debug)]
#[must_use = "a failed attempt is an outcome, not an error"]
#[non_exhaustive]
pub enum Outcome {
    /// The job is completed.
    Completed {
        /// The value that the handler returned, if it is kept. Not that of a job that its handler has completed in its
        /// own transaction: [`admin::find`](crate::admin::find) reads it.
        output: Option<Box<RawValue>>,
    },
    /// It failed, panicked or timed out, and the job runs again.
    Retried {
        /// What went wrong.
        error: String,
        /// The trace, if it panicked.
        trace: Option<String>,
        /// The delay before the next attempt.
        delay: Duration,
    },
    /// It failed, panicked or timed out, and the job does not run again.
    Discarded {
        /// What went wrong.
        error: String,
        /// The trace, if it panicked.
        trace: Option<String>,
    },
    /// The job is cancelled.
    Cancelled {
        /// The reason, if the handler gave one.
        reason: Option<String>,
    },
    /// The job runs again, and the attempt does not count.
    Snoozed {
        /// The delay before the next attempt.
        delay: Duration,
    },
    /// The database refused the job's completion in the handler's transaction, or found no job to complete there. The job
    /// runs again, and the attempt does not count.
    Released {
        /// The delay before the next attempt.
        delay: Duration,
    },
    /// Its worker died after the handler had ended, by [`crash_after_effect`](crate::testing::RunDue::crash_after_effect).
    /// The job runs again, unless this was its last attempt.
    Crashed,
    /// Another attempt owns the job, so what the handler returned was refused.
    Stale,
}

impl Outcome {
    /// Whether the job is completed.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        matches!(self, Self::Completed { .. })
    }

    /// The value that the handler returned, as a `T`. None if the job is not completed, or has no output.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it does not decode as `T`.
    pub fn output_as<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let Self::Completed { output: Some(output) } = self else { return Ok(None) };
        let wrong = |error: serde_json::Error| Error::invalid("output", error.to_string()).caused_by(error);
        serde_json::from_str(output.get()).map(Some).map_err(wrong)
    }
}

impl From<EngineOutcome> for Outcome {
    fn from(outcome: EngineOutcome) -> Self {
        match outcome {
            EngineOutcome::Completed { output } => Self::Completed {
                // Always JSON: it was checked.
                output: output.and_then(|json| RawValue::from_string(json.as_str().to_owned()).ok()),
            },
            EngineOutcome::Failed { failure: Failure { error, trace }, delay, .. } => {
                Self::Retried { error, trace, delay }
            }
            EngineOutcome::Discarded { failure: Failure { error, trace }, .. } => Self::Discarded { error, trace },
            EngineOutcome::Cancelled { reason } => Self::Cancelled { reason: reason.map(|failure| failure.error) },
            EngineOutcome::Snoozed { delay } => Self::Snoozed { delay },
            EngineOutcome::Released { delay } => Self::Released { delay },
        }
    }
}
