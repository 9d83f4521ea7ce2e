//! How long finished jobs are kept.

use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// How long finished jobs are kept at least; they are removed within a day after.
///
/// Default: 24 h for completed and cancelled jobs, 7 days for discarded ones. At most 365 days.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Of completed jobs.
    pub completed: Duration,
    /// Of cancelled jobs.
    pub cancelled: Duration,
    /// Of discarded jobs.
    pub discarded: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { completed: DAY, cancelled: DAY, discarded: 7 * DAY }
    }
}

impl Retention {
    pub(crate) fn completed_seconds(&self) -> i64 {
        seconds(self.completed)
    }

    pub(crate) fn cancelled_seconds(&self) -> i64 {
        seconds(self.cancelled)
    }

    pub(crate) fn discarded_seconds(&self) -> i64 {
        seconds(self.discarded)
    }

    /// How many days ahead history partitions must exist.
    pub(crate) fn days_ahead(&self) -> i32 {
        let longest = self.completed.max(self.cancelled).max(self.discarded);
        i32::try_from(seconds(longest) / 86_400).unwrap_or(365) + 8
    }
}

fn seconds(time: Duration) -> i64 {
    // Partitions are made for each day ahead, so the longest retention has a bound.
    i64::try_from(time.min(365 * DAY).as_secs()).unwrap_or(i64::MAX)
}
