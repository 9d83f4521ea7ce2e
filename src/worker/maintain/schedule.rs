//! When a periodic job is due.
//!
//! Promises: the next tick is later than now. An interval counts from the first tick, so it does not drift. Cron
//! expressions are read in UTC. Computed from its arguments only: no clock is read.

use std::time::Duration;

#[cfg(feature = "schedules")]
use chrono::SubsecRound;
use chrono::{DateTime, TimeDelta, Utc};
#[cfg(feature = "schedules")]
use croner::Cron;

use crate::error::Error;
use crate::job::StoredTime;

/// The shortest interval of a periodic job.
pub(crate) const MIN_INTERVAL: Duration = Duration::from_millis(100);
const MAX_INTERVAL: Duration = Duration::from_hours(87600);

/// An interval, or a cron expression in UTC. One with a year may have a last time.
#[derive(Clone, Debug)]
pub(in crate::worker) enum Schedule {
    Every(TimeDelta),
    #[cfg(feature = "schedules")]
    Cron(Box<Cron>),
}

impl Schedule {
    pub fn every(interval: Duration) -> Result<Self, Error> {
        if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
            return Err(Error::invalid("interval", format!("is {interval:?}, not {MIN_INTERVAL:?} to 10 years")));
        }
        TimeDelta::from_std(interval)
            .map(Self::Every)
            .map_err(|error| Error::invalid("interval", format!("is {interval:?}: {error}")).caused_by(error))
    }

    #[cfg(feature = "schedules")]
    pub fn cron(expression: &str) -> Result<Self, Error> {
        expression.parse().map(|cron| Self::Cron(Box::new(cron))).map_err(|error: croner::errors::CronError| {
            Error::invalid("cron", format!("expression {expression:?} is not valid: {error}")).caused_by(error)
        })
    }

    /// The form that is stored, so that a changed schedule is noticed.
    pub fn describe(&self) -> String {
        match self {
            Self::Every(interval) => format!("every {} ms", interval.num_milliseconds()),
            #[cfg(feature = "schedules")]
            Self::Cron(cron) => format!("cron {}", cron.pattern),
        }
    }

    /// The stored tick of a schedule that has no more: the last time that can be stored.
    pub fn no_tick() -> DateTime<Utc> {
        StoredTime::last()
    }

    /// The tick to store for a schedule that begins now: the first one, or [`Self::no_tick`] if all of its times have
    /// passed. None if it has no times. Slow in that case.
    pub fn to_store(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(_) => self.first(now),
            #[cfg(feature = "schedules")]
            Self::Cron(cron) => {
                self.first(now).or_else(|| cron.find_previous_occurrence(&now, true).ok().map(|_| Self::no_tick()))
            }
        }
    }

    /// The first tick of a schedule that begins now.
    pub fn first(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.next(now, now)
    }

    /// The first tick after `now`. An interval counts its ticks from `first`. Missed ticks collapse into one.
    pub fn next(&self, first: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(interval) => {
                // In microseconds, as Postgres stores times: i64 holds 290,000 years of them.
                let interval = interval.num_microseconds()?.max(1);
                let passed = (now - first).num_microseconds()?.div_euclid(interval);
                let ahead = passed.checked_add(1)?.checked_mul(interval)?;
                first.checked_add_signed(TimeDelta::microseconds(ahead))
            }
            #[cfg(feature = "schedules")]
            // Croner would keep the fraction of the second.
            Self::Cron(cron) => cron.find_next_occurrence(&now.trunc_subsecs(0), false).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn an_interval_keeps_its_phase_and_collapses_what_was_missed() {
        let minute = Schedule::every(Duration::from_mins(1)).unwrap();
        assert_eq!(minute.first(at(7)), Some(at(67)));
        assert_eq!(minute.next(at(7), at(67)), Some(at(127)));
        assert_eq!(minute.next(at(7), at(66)), Some(at(67)));
        assert_eq!(minute.next(at(7), at(10_000)), Some(at(7 + 60 * 167)));
    }

    #[cfg(feature = "schedules")]
    #[test]
    fn a_cron_tick_is_a_whole_second_whenever_it_is_asked_for() {
        let nightly = Schedule::cron("0 3 * * *").unwrap();
        let three = at(3 * 3600);
        assert_eq!(nightly.next(three, three - TimeDelta::microseconds(1)), Some(three));
        assert_eq!(nightly.next(three, three - TimeDelta::milliseconds(1999)), Some(three));
        for after in [0, 1, 999_999] {
            let next = nightly.next(three, three + TimeDelta::microseconds(after));
            assert_eq!(next, Some(three + TimeDelta::days(1)), "{after} us after");
        }
    }

    #[cfg(feature = "schedules")]
    #[test]
    fn cron_is_read_in_utc_and_bad_expressions_are_refused() {
        let nightly = Schedule::cron("0 3 * * *").unwrap();
        assert_eq!(nightly.next(at(0), at(0)), Some(at(3 * 3600)));
        for bad in ["", "every day", "61 * * * *", "* * * *", "0 0 32 * *"] {
            assert!(Schedule::cron(bad).is_err(), "{bad}");
        }
    }

    #[cfg(feature = "schedules")]
    #[test]
    fn a_schedule_that_names_a_year_has_a_last_tick_and_one_that_never_comes_has_none() {
        let once = Schedule::cron("0 0 3 1 1 * 1970").unwrap();
        let three = at(3 * 3600);
        assert_eq!((once.first(at(0)), once.to_store(at(0))), (Some(three), Some(three)));
        assert_eq!((once.first(three), once.to_store(three)), (None, Some(Schedule::no_tick())));
        let never = Schedule::cron("0 0 31 2 *").unwrap();
        assert_eq!((never.first(three), never.to_store(three)), (None, None));
    }

    proptest! {
        #[test]
        fn the_next_tick_lies_within_one_interval_after_now(
            first in 0i64..4_000_000_000, now in 0i64..4_000_000_000, seconds in 1u64..10_000_000,
        ) {
            let next = Schedule::every(Duration::from_secs(seconds)).unwrap().next(at(first), at(now)).unwrap();
            prop_assert!(next > at(now));
            prop_assert!((next - at(now)).num_seconds() <= i64::try_from(seconds).unwrap());
            prop_assert_eq!((next - at(first)).num_seconds().rem_euclid(i64::try_from(seconds).unwrap()), 0);
        }

        #[cfg(feature = "schedules")]
        #[test]
        fn any_text_is_a_cron_expression_or_an_error(text in any::<String>()) {
            let _ = Schedule::cron(&text);
        }
    }
}
