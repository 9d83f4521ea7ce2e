//! The delay before the next attempt.
//!
//! The built-in policy is `attempt⁴` seconds ± 10 %: 1 s, 16 s, 81 s, 256 s … The policy of a service may return any
//! delay, or panic.
//!
//! Promise: a delay is at most 365 days. If the policy panics, the built-in one is used, so that no policy can lose a
//! job. It does not decide whether a job is retried.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// The longest delay: 365 days.
pub const MAX_RETRY_DELAY: Duration = Duration::from_hours(8760);

/// The delay before the next attempt, by the number of the failed one (1 for the first).
#[derive(Clone, Default)]
pub(in crate::worker) struct RetryPolicy(Option<Arc<dyn Fn(u32) -> Duration + Send + Sync>>);

impl RetryPolicy {
    pub fn of(policy: impl Fn(u32) -> Duration + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(policy)))
    }

    /// The delay after `attempt` has failed: the kind's policy, else this one.
    pub fn delay(&self, kind: impl Fn(u32) -> Option<Duration>, attempt: u32) -> Duration {
        let chosen =
            catch_unwind(AssertUnwindSafe(|| kind(attempt).or_else(|| self.0.as_ref().map(|policy| policy(attempt)))));
        match chosen {
            Ok(Some(delay)) => delay.min(MAX_RETRY_DELAY),
            Ok(None) => built_in(attempt, fastrand::f64()),
            Err(_) => {
                tracing::error!(attempt, "retry policy panicked; the built-in one is used");
                built_in(attempt, fastrand::f64())
            }
        }
    }
}

/// `attempt⁴` seconds, made 10 % shorter (`jitter` 0) to 10 % longer (`jitter` 1).
fn built_in(attempt: u32, jitter: f64) -> Duration {
    let seconds = f64::from(attempt).powi(4) * (0.9 + 0.2 * jitter);
    Duration::try_from_secs_f64(seconds).map_or(MAX_RETRY_DELAY, |delay| delay.min(MAX_RETRY_DELAY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_built_in_policy_is_the_fourth_power_of_the_attempt() {
        let middle = |attempt| built_in(attempt, 0.5).as_millis();
        assert_eq!([1, 2, 3, 4].map(middle), [1_000, 16_000, 81_000, 256_000]);
    }

    #[test]
    fn a_policy_that_panics_or_overflows_falls_back() {
        let panicking = RetryPolicy::of(|_| panic!("no idea"));
        let delay = panicking.delay(|_| None, 1);
        assert!((0.9..=1.1).contains(&delay.as_secs_f64()), "{delay:?}");
        let endless = RetryPolicy::of(|_| Duration::MAX);
        assert_eq!(endless.delay(|_| None, 1), MAX_RETRY_DELAY);
        assert_eq!(endless.delay(|_| Some(Duration::from_secs(7)), 1), Duration::from_secs(7));
    }

    proptest! {
        #[test]
        fn the_built_in_delay_stays_within_a_tenth_and_below_the_limit(attempt in any::<u32>(), jitter in 0.0..=1.0f64) {
            let delay = built_in(attempt, jitter);
            let exact = f64::from(attempt).powi(4);
            prop_assert!(delay <= MAX_RETRY_DELAY);
            prop_assert!(delay == MAX_RETRY_DELAY || (delay.as_secs_f64() - exact).abs() <= exact * 0.1 + 1e-6);
        }
    }
}
