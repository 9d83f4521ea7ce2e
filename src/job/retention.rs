//! The retention of finished jobs.

use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// The minimum time that finished jobs are kept. They are removed within a day after that.
///
/// Default: 24 h for completed and cancelled jobs, 7 days for discarded ones. In whole seconds; more than 365 days means
/// 365 days.
///
/// ```
/// use std::time::Duration;
/// use postrider::Retention;
///
/// let retention = Retention { completed: Duration::from_secs(3600), ..Retention::default() };
/// # let _ = retention;
/// # Ok::<(), postrider::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// For completed jobs.
    pub completed: Duration,
    /// For cancelled jobs.
    pub cancelled: Duration,
    /// For discarded jobs.
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

    /// The number of days ahead for which history partitions must exist.
    pub(crate) fn days_ahead(&self) -> i32 {
        let longest = self.completed.max(self.cancelled).max(self.discarded);
        i32::try_from(seconds(longest) / 86_400).unwrap_or(365) + 8
    }
}

fn seconds(time: Duration) -> i64 {
    // A partition is made for each day ahead, so the longest retention is limited.
    i64::try_from(time.min(365 * DAY).as_secs()).unwrap_or(i64::MAX)
}
