//! Converts database time to local time, so that a due time can set a timer.
//!
//! For timers only: the claim decides by the database's clock whether a job is due. A host clock that is set wrong has
//! no effect, because only the time since the reading counts.

use std::time::{Duration, Instant};

/// One reading of the database's clock.
pub(in crate::worker) struct DatabaseClock {
    /// In ms since 1970.
    database_ms: f64,
    read_at: Instant,
}

impl DatabaseClock {
    pub fn read(database_ms: f64, read_at: Instant) -> Self {
        Self { database_ms, read_at }
    }

    /// The local time of a database time. If it is out of range, at most an hour after the reading.
    pub fn instant_of(&self, database_ms: i64) -> Instant {
        #[allow(clippy::cast_precision_loss)] // ms since 1970 fit 52 bits for 140,000 years
        let ahead_ms = database_ms as f64 - self.database_ms;
        self.read_at + Duration::try_from_secs_f64(ahead_ms.max(0.0) / 1000.0).unwrap_or(Duration::from_hours(1))
    }
}
