//! The outcome of an attempt: what `execute` passes to `finish`.
//!
//! Data only: `execute` decides the outcome, `finish` records it.

use std::sync::Arc;
use std::time::Duration;

use crate::job::CheckedJson;
use crate::store::finish::Failure;
use crate::worker::in_flight::InFlightJob;

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailedBy {
    Error,
    Panic,
    Timeout,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Completed {
        /// The value that the handler returned.
        output: Option<CheckedJson>,
    },
    /// To be retried after the delay.
    Failed { by: FailedBy, failure: Failure, delay: Duration },
    /// Failed, and not retried.
    Discarded { by: FailedBy, failure: Failure },
    /// Cancelled by its handler, with the reason, or on request.
    Cancelled { reason: Option<Failure> },
    /// To run again after the delay. Not counted as an attempt.
    Snoozed { delay: Duration },
    /// To run again after the delay, not counted as an attempt: cut off by the shutdown, or not started.
    Released { delay: Duration },
}

impl Outcome {
    /// The failure that it records.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed { failure, .. } | Self::Discarded { failure, .. } => Some(failure),
            Self::Cancelled { reason } => reason.as_ref(),
            _ => None,
        }
    }

    /// Whether it contains text that the database's encoding may lack.
    pub fn has_text(&self) -> bool {
        self.failure().is_some() || self.output_bytes() > 0
    }

    /// The size of the output.
    pub fn output_bytes(&self) -> usize {
        match self {
            Self::Completed { output: Some(output) } => output.as_str().len(),
            _ => 0,
        }
    }

    /// Completed without an output.
    pub const COMPLETED: Self = Self::Completed { output: None };

    /// To run again at once.
    pub const RELEASED: Self = Self::Released { delay: Duration::ZERO };
}

/// An attempt that has ended, with an outcome to be recorded.
pub(super) struct EndedAttempt {
    pub job: Arc<InFlightJob>,
    pub outcome: Outcome,
    /// How often the database has refused it.
    pub refusals: u32,
}
