//! How long to wait before the next attempt to connect.
//!
//! The only user of the crate `backoff`, which is no longer maintained (RUSTSEC-2025-0012): it
//! was asked for, and here it costs nothing, because all we take from it is this arithmetic.
//! The delay of a job's retry is our own.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

const FIRST: Duration = Duration::from_millis(100);
/// Jobs wait for as long after an outage, and a refused connection costs the server next to nothing.
const LONGEST: Duration = Duration::from_secs(1);
const FACTOR: f64 = 2.0;
/// A fleet that lost its database at one instant must not come back at one instant.
const JITTER: f64 = 0.5;

/// Delays between attempts: 100 ms, doubling to 1 s, each ± 50 %, without end.
pub(crate) struct Reconnect(ExponentialBackoff);

impl Default for Reconnect {
    fn default() -> Self {
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(FIRST)
            .with_multiplier(FACTOR)
            .with_max_interval(LONGEST)
            .with_randomization_factor(JITTER)
            // Its default is to give up after 15 minutes.
            .with_max_elapsed_time(None)
            .build();
        Self(backoff)
    }
}

impl Reconnect {
    /// The delay before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(LONGEST)
    }

    /// Starts over: to be called once a connection has proved good.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delays_double_from_100_ms_to_1_s_within_half_of_that(before in 0_usize..200, attempts in 1_u32..200) {
            let mut reconnect = Reconnect::default();
            for _ in 0..before {
                reconnect.next_delay();
            }
            reconnect.reset();
            for attempt in 0..attempts {
                let middle = LONGEST.min(FIRST * 2_u32.saturating_pow(attempt.min(16)));
                let delay = reconnect.next_delay();
                prop_assert!(delay >= middle / 2, "{:?} at attempt {}", delay, attempt);
                // The crate draws up to a nanosecond more.
                prop_assert!(delay <= middle * 3 / 2 + Duration::from_micros(1), "{:?} at attempt {}", delay, attempt);
            }
        }
    }
}
