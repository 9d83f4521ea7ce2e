//! The states of a job.
//!
//! ```text
//!             run_at is later                  snoozed
//! enqueue ──────────────────▶ scheduled ◀─────────────────────┐
//!    │                            │ run_at passes             │
//!    │ due                        ▼           claim           │
//!    └───────────────────────▶ available ──────────────────▶ running ──▶ completed, cancelled, discarded
//!                                 ▲ ▲                        │ │  ▲                   │
//!                                 │ └─────── released ───────┘ │  │ claim             │
//!                                 │                            │  │                   │
//!                                 │       failed, attempt lost ▼  │                   │
//!                                 │                         retryable                 │
//!                                 │                                                   │
//!                                 └────────────────── retry by hand ──────────────────┘
//!
//! scheduled, available, retryable ── cancel ──▶ cancelled
//! ```
//!
//! The state of an unfinished job is not stored: it is derived from the row (`running`, `failed_at`, `run_at`). A
//! release does not change `failed_at`, so a job whose latest finished attempt failed is `retryable` after it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting for its `run_at`.
    Scheduled,
    /// Due, waiting for a worker.
    Available,
    /// Claimed by a worker.
    Running,
    /// Waiting after a failed attempt, due or not.
    Retryable,
    /// Finished successfully.
    Completed,
    /// Finished by a cancel.
    Cancelled,
    /// Finished because its last attempt failed, or its handler discarded it.
    Discarded,
}

impl State {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Available,
        Self::Running,
        Self::Retryable,
        Self::Completed,
        Self::Cancelled,
        Self::Discarded,
    ];

    /// The name, as in SQL, JSON and the command line.
    ///
    /// ```
    /// use postrider::State;
    ///
    /// assert_eq!(State::Completed.as_str(), "completed");
    /// assert_eq!("completed".parse::<State>()?, State::Completed);
    /// # Ok::<(), postrider::Error>(())
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Available => "available",
            Self::Running => "running",
            Self::Retryable => "retryable",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Discarded => "discarded",
        }
    }

    /// Whether the job is finished.
    ///
    /// ```
    /// use postrider::State;
    ///
    /// assert!(State::Completed.is_finished() && !State::Retryable.is_finished());
    /// # Ok::<(), postrider::Error>(())
    /// ```
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Discarded)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|state| state.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Error::invalid("state", format!("{name:?} is none of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_is_read_only_as_it_is_written(name in "[a-zA-Z ]{0,12}|scheduled|available|running|retryable|completed|cancelled|discarded") {
            if let Ok(state) = name.parse::<State>() {
                prop_assert_eq!(state.as_str(), name);
            } else {
                prop_assert!(State::ALL.iter().all(|state| state.as_str() != name));
            }
        }
    }
}
