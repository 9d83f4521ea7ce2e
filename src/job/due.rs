//! When a new job is due.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Time;
use crate::error::Error;

/// The latest due time, in seconds since 1970: the end of the year 9999. RFC 3339 has no later times.
const LATEST_SECONDS: i64 = 253_402_300_799;
/// The longest delay: 1,000 years.
const MAX_DELAY: Duration = Duration::from_hours(1000 * 366 * 24);

/// Now, at a time, or after a delay from the database's current time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    At(DateTime<Utc>),
    After(Duration),
}

impl Due {
    pub fn checked_at(time: Time) -> Result<Self, Error> {
        match time.to_utc() {
            Some(utc) if (0..=LATEST_SECONDS).contains(&time.seconds()) => Ok(Self::At(utc)),
            _ => Err(Error::invalid("run_at", format!("is {time}, not in the years 1970 to 9999"))),
        }
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

    /// The due time. `now` is the database's current time.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::SystemTime;

    proptest! {
        #[test]
        fn any_time_is_taken_or_refused_by_its_field(
            after in any::<bool>(),
            seconds in prop_oneof![any::<u64>(), 0..400_000_000_000_u64],
            nanos in 0..1_000_000_000_u32,
        ) {
            let (epoch, distance) = (SystemTime::UNIX_EPOCH, Duration::new(seconds, nanos));
            let time = if after { epoch.checked_add(distance) } else { epoch.checked_sub(distance) };
            if let Some(time) = time {
                let in_range = time >= epoch && seconds <= 253_402_300_799;
                match Due::checked_at(time.into()) {
                    Ok(due) => prop_assert!(in_range && due.at().map(SystemTime::from) == Some(time)),
                    Err(Error::Invalid { field: "run_at", .. }) => prop_assert!(!in_range),
                    Err(other) => prop_assert!(false, "{}", other),
                }
            }
        }
    }
}
