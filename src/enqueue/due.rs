//! When a new job is due.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::Error;

/// The latest due time: the end of the year 9999, in seconds since 1970. Later ones have no RFC 3339 form.
const LATEST_SECONDS: i64 = 253_402_214_400;
/// The longest delay: 1,000 years.
const MAX_DELAY: Duration = Duration::from_hours(1000 * 366 * 24);

/// Now, at a time, or after a delay. A delay counts from the database's now, never from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    At(DateTime<Utc>),
    After(Duration),
}

impl Due {
    pub fn checked_at(time: DateTime<Utc>) -> Result<Self, Error> {
        if (0..=LATEST_SECONDS).contains(&time.timestamp()) {
            return Ok(Self::At(time));
        }
        Err(Error::invalid("run_at", format!("is {time}, not in the years 1970 to 9999")))
    }

    pub fn checked_after(delay: Duration) -> Result<Self, Error> {
        if delay <= MAX_DELAY {
            return Ok(Self::After(delay));
        }
        Err(Error::invalid("run_at", format!("is {} s away, more than 1,000 years", delay.as_secs())))
    }

    pub fn at(self) -> Option<DateTime<Utc>> {
        match self {
            Self::At(time) => Some(time),
            Self::Now | Self::After(_) => None,
        }
    }

    pub fn delay_seconds(self) -> f64 {
        match self {
            Self::After(delay) => delay.as_secs_f64(),
            Self::Now | Self::At(_) => 0.0,
        }
    }

    /// The time itself, given the database's now.
    pub fn resolve(self, now: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
        match self {
            Self::Now => Ok(now),
            Self::At(time) => Ok(time),
            Self::After(delay) => TimeDelta::from_std(delay)
                .ok()
                .and_then(|delay| now.checked_add_signed(delay))
                .ok_or_else(|| Error::invalid("run_at", "is too far away")),
        }
    }
}
