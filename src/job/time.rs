//! A time from any of the usual libraries.

use std::fmt;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeZone, Utc};

/// A point in time, from a [`SystemTime`], a [`DateTime`], or with the features of the same names a
/// `jiff::Timestamp` or a `time::OffsetDateTime`.
///
/// Any value of these types converts. One that the database cannot store is refused where it is used, with
/// [`Error::Invalid`](crate::Error::Invalid).
///
/// ```
/// use std::time::{Duration, SystemTime};
/// # use postrider::{Args, NewJob};
///
/// let tomorrow = SystemTime::now() + Duration::from_secs(24 * 3600);
/// let job = NewJob::new("send_mail", Args::parse("{}")?)?.run_at(tomorrow)?;
/// let same = NewJob::new("send_mail", Args::parse("{}")?)?.run_at(chrono::DateTime::<chrono::Utc>::from(tomorrow))?;
/// # Ok::<(), postrider::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Since 1970, rounded down.
    seconds: i64,
    nanos: u32,
}

impl Time {
    /// None if chrono has no such time.
    pub(crate) fn to_utc(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(self.seconds, self.nanos)
    }

    /// Since 1970, rounded down.
    pub(crate) fn seconds(self) -> i64 {
        self.seconds
    }
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_utc() {
            Some(time) => write!(out, "{time}"),
            None => write!(out, "{} s from 1970", self.seconds),
        }
    }
}

impl<Tz: TimeZone> From<DateTime<Tz>> for Time {
    fn from(time: DateTime<Tz>) -> Self {
        Self { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos() }
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self { seconds: seconds(after), nanos: after.subsec_nanos() },
            Err(before) => Self::before_1970(before.duration()),
        }
    }
}

#[cfg(feature = "jiff")]
impl From<::jiff::Timestamp> for Time {
    fn from(time: ::jiff::Timestamp) -> Self {
        Self::of_nanoseconds(time.as_nanosecond())
    }
}

#[cfg(feature = "time")]
impl From<::time::OffsetDateTime> for Time {
    fn from(time: ::time::OffsetDateTime) -> Self {
        Self::of_nanoseconds(time.unix_timestamp_nanos())
    }
}

impl Time {
    fn before_1970(by: Duration) -> Self {
        let whole = seconds(by).saturating_neg();
        match by.subsec_nanos() {
            0 => Self { seconds: whole, nanos: 0 },
            part => Self { seconds: whole.saturating_sub(1), nanos: 1_000_000_000 - part },
        }
    }

    #[cfg(any(feature = "jiff", feature = "time"))]
    fn of_nanoseconds(since_1970: i128) -> Self {
        const SECOND: i128 = 1_000_000_000;
        let seconds = since_1970.div_euclid(SECOND);
        let limit = if seconds < 0 { i64::MIN } else { i64::MAX };
        Self {
            seconds: i64::try_from(seconds).unwrap_or(limit),
            nanos: u32::try_from(since_1970.rem_euclid(SECOND)).unwrap_or_default(),
        }
    }
}

/// No clock comes near the limit.
fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From before 1970 to after 9999, and the ends of what the system can represent.
    fn system_times() -> impl Strategy<Value = SystemTime> {
        (any::<bool>(), prop_oneof![any::<u64>(), 0..400_000_000_000_u64], 0..1_000_000_000_u32).prop_filter_map(
            "a time of the system",
            |(after, seconds, nanos)| {
                let distance = Duration::new(seconds, nanos);
                let epoch = SystemTime::UNIX_EPOCH;
                if after { epoch.checked_add(distance) } else { epoch.checked_sub(distance) }
            },
        )
    }

    proptest! {
        #[test]
        fn a_time_of_the_system_is_the_same_time(time in system_times()) {
            let converted = Time::from(time);
            prop_assert!(!converted.to_string().is_empty());
            if let Some(utc) = converted.to_utc() {
                prop_assert_eq!(SystemTime::from(utc), time);
                prop_assert_eq!(Time::from(utc), converted);
            }
        }
    }

    #[cfg(feature = "jiff")]
    proptest! {
        #[test]
        fn a_timestamp_of_jiff_is_the_same_time(
            seconds in ::jiff::Timestamp::MIN.as_second()..::jiff::Timestamp::MAX.as_second(),
            nanos in 0..1_000_000_000_i32,
        ) {
            let timestamp = ::jiff::Timestamp::new(seconds, nanos).unwrap();
            let utc = Time::from(timestamp).to_utc().unwrap();
            prop_assert_eq!((utc.timestamp(), utc.timestamp_subsec_nanos()), (seconds, nanos.unsigned_abs()));
        }
    }

    #[cfg(feature = "time")]
    proptest! {
        #[test]
        fn a_time_of_the_crate_time_is_the_same_time(
            seconds in -377_705_116_800_i64..253_402_300_799,
            nanos in 0..1_000_000_000_u32,
        ) {
            let time = ::time::OffsetDateTime::from_unix_timestamp(seconds).unwrap() + Duration::new(0, nanos);
            let utc = Time::from(time).to_utc().unwrap();
            prop_assert_eq!((utc.timestamp(), utc.timestamp_subsec_nanos()), (seconds, nanos));
        }
    }
}
