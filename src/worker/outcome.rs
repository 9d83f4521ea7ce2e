//! What became of an attempt.

use std::sync::Arc;
use std::time::Duration;

use super::held::Held;
use crate::store::finish::Failure;

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailedBy {
    Error,
    Panic,
    Timeout,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Completed,
    /// To be tried again after the delay.
    Failed {
        by: FailedBy,
        failure: Failure,
        delay: Duration,
    },
    /// Failed, and not to be tried again.
    Discarded {
        by: FailedBy,
        failure: Failure,
    },
    /// Stopped for good, by its handler (with the reason) or because somebody asked for it.
    Cancelled {
        reason: Option<Failure>,
    },
    /// To come back after the delay, its attempt unspent.
    Snoozed {
        delay: Duration,
    },
    /// To come back after the delay, its attempt unspent: cut off by the shutdown, or not begun.
    GivenBack {
        delay: Duration,
    },
}

impl Outcome {
    /// To come back at once.
    pub const GIVEN_BACK: Self = Self::GivenBack { delay: Duration::ZERO };
}

/// An attempt that has ended and is to be recorded.
pub(super) struct Ended {
    pub held: Arc<Held>,
    pub outcome: Outcome,
}
