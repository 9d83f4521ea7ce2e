//! The delay before the next attempt to connect.
//!
//! Only this module uses the crate `backoff`, which is unmaintained (RUSTSEC-2025-0012). The crate is a requirement,
//! and harmless here: we use only its arithmetic. The retry delay of jobs is our own code.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

const FIRST: Duration = Duration::from_millis(100);
/// Jobs wait up to this long after an outage. A refused connection costs the server almost nothing.
const LONGEST: Duration = Duration::from_secs(1);
const FACTOR: f64 = 2.0;
/// Workers that lost their database at the same time must not reconnect at the same time.
const JITTER: f64 = 0.5;

/// Delays between attempts to connect: 100 ms, doubling to 1 s, each ± 50 %, without a last one.
pub(crate) struct Reconnect(ExponentialBackoff);

impl Default for Reconnect {
    fn default() -> Self {
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(FIRST)
            .with_multiplier(FACTOR)
            .with_max_interval(LONGEST)
            .with_randomization_factor(JITTER)
            // The default ends after 15 minutes.
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

    /// Restarts at the first delay. Call it once a connection works.
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
                // The crate adds up to a nanosecond.
                prop_assert!(delay <= middle * 3 / 2 + Duration::from_micros(1), "{:?} at attempt {}", delay, attempt);
            }
        }
    }
}
