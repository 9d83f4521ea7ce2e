//! Prefetch: how many jobs to claim beyond the free slots.
//!
//! It is the number that the slots will probably take within 50 ms, by the recent rate of freed slots. If claims wait for
//! their turn, twice the time of that wait is added. A queue of short jobs always has the next ones buffered. A queue of long
//! jobs takes none from other workers.
//!
//! Promise: at most 2,000 jobs, and none for a queue that frees fewer than 80 slots a second. Only a number: `plan`
//! decides about claims.

use std::time::{Duration, Instant};

/// How long the prefetched jobs should last.
const HORIZON: Duration = Duration::from_millis(50);
/// The most that turns add to it: buffered jobs are released after 500 ms.
const MAX_TURN_TIME: Duration = Duration::from_millis(200);
/// Fewer are not worth it: slots are freed too rarely for a round trip each to matter.
const MIN_AHEAD: usize = 4;
/// The most prefetched jobs.
const MAX_AHEAD: usize = 2_000;
/// The time over which the rate is averaged.
const MEMORY: Duration = Duration::from_millis(30);
/// The shortest time over which a rate is measured.
const SHORTEST: Duration = Duration::from_millis(1);

/// The rate at which the slots of one queue are freed.
pub(in crate::worker) struct Prefetch {
    per_second: f64,
    ended: u64,
    at: Instant,
    turn_waited: Duration,
}

impl Prefetch {
    pub fn new(now: Instant) -> Self {
        Self { per_second: 0.0, ended: 0, at: now, turn_waited: Duration::ZERO }
    }

    /// Records the number of slots freed until now.
    pub fn note(&mut self, ended: u64, now: Instant) {
        let time = now.saturating_duration_since(self.at);
        if time < SHORTEST {
            return;
        }
        #[allow(clippy::cast_precision_loss)] // a rate
        let measured = (ended - self.ended) as f64 / time.as_secs_f64();
        let weight = 1.0 - (-time.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        self.per_second += (measured - self.per_second) * weight;
        (self.ended, self.at) = (ended, now);
    }

    /// Records how long the last claim waited for its turn.
    pub fn turn_waited(&mut self, time: Duration) {
        self.turn_waited = time;
    }

    /// How many jobs to buffer.
    pub fn ahead(&self) -> usize {
        let horizon = HORIZON + (2 * self.turn_waited).min(MAX_TURN_TIME);
        let ahead = self.per_second * horizon.as_secs_f64();
        // A rate: in range and not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let ahead = ahead as usize;
        if ahead < MIN_AHEAD { 0 } else { ahead.min(MAX_AHEAD) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(rate: u64, millis: u64) -> usize {
        let start = Instant::now();
        let mut prefetch = Prefetch::new(start);
        for ms in 1..=millis {
            prefetch.note(rate * ms / 1000, start + Duration::from_millis(ms));
        }
        prefetch.ahead()
    }

    #[test]
    fn short_jobs_are_claimed_ahead_and_long_ones_are_not() {
        assert_eq!(after(0, 100), 0);
        assert_eq!(after(40, 1000), 0);
        let steady = after(10_000, 300);
        assert!((490..=510).contains(&steady), "{steady}");
        assert_eq!(after(1_000_000, 300), MAX_AHEAD);
    }

    #[test]
    fn turns_add_twice_their_time_up_to_a_limit() {
        let start = Instant::now();
        let mut prefetch = Prefetch::new(start);
        prefetch.note(4_000, start + Duration::from_secs(1));
        let without = prefetch.ahead();
        prefetch.turn_waited(Duration::from_millis(50));
        assert!((3 * without - 3..=3 * without + 3).contains(&prefetch.ahead()), "{} {without}", prefetch.ahead());
        prefetch.turn_waited(Duration::from_secs(2));
        assert!((5 * without - 5..=5 * without + 5).contains(&prefetch.ahead()), "{} {without}", prefetch.ahead());
        prefetch.turn_waited(Duration::ZERO);
        assert_eq!(prefetch.ahead(), without);
    }

    #[test]
    fn the_rate_falls_when_jobs_become_long() {
        let start = Instant::now();
        let mut prefetch = Prefetch::new(start);
        prefetch.note(100_000, start + Duration::from_secs(1));
        assert!(prefetch.ahead() > 1000);
        prefetch.note(100_000, start + Duration::from_millis(1300));
        assert_eq!(prefetch.ahead(), 0);
    }
}
