//! Turns: workers that share a backlog claim from it one after the other.
//!
//! A claim scans the rows that other claims have locked, and skips each of them at about the cost of claiming it. So if
//! eight workers claim at the same time, they skip more than they claim. A worker therefore waits for its turn while it
//! claims full batches: an advisory lock for each queue. Nobody else claims as much then, so the claim does not lock its
//! jobs before it updates them.
//!
//! Promises:
//! - A turn is only a matter of speed. A claim that does not get its turn within 2 s runs without one. A claim that waits
//!   for 200 ms for a transaction that changes one of its jobs begins again, and skips locked jobs.
//! - After that, the worker claims without turns, or skips locked jobs, for a second. For twice as long after the next
//!   time in a row, at most a minute. So a worker that is frozen in its turn costs each peer 2 s a minute, and a
//!   transaction that keeps a waiting job locked 200 ms.
//! - An idle worker and a claim of a few jobs take no turn. Nor does a worker behind a transaction pooler, which would
//!   keep a server connection while it waits.

use std::time::{Duration, Instant};

/// How long to do without after the first time.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// What this worker does without, because it has waited in vain for a lock.
#[derive(Default)]
pub(in crate::worker) struct Turns {
    without_turn: Lapse,
    /// Claims that do not lock their jobs first.
    without_unlocked: Lapse,
}

impl Turns {
    /// Whether a claim of full batches waits for its turn now.
    pub fn apply(&self, now: Instant) -> bool {
        !self.without_turn.is_on(now)
    }

    /// Whether a claim in a turn locks its jobs first, and skips locked ones.
    pub fn skip_locked(&self, now: Instant) -> bool {
        self.without_unlocked.is_on(now)
    }

    /// A claim did not get its turn.
    pub fn missed_turn(&mut self, now: Instant) {
        self.without_turn.begin(now);
    }

    /// A claim in a turn waited in vain for a job.
    pub fn met_locked_job(&mut self, now: Instant) {
        self.without_unlocked.begin(now);
    }

    /// A claim got its turn.
    pub fn had_turn(&mut self, skipped_locked: bool) {
        self.without_turn.end();
        if !skipped_locked {
            self.without_unlocked.end();
        }
    }
}

/// A time without something, twice as long each time in a row.
#[derive(Default)]
struct Lapse {
    length: Duration,
    until: Option<Instant>,
}

impl Lapse {
    fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    fn begin(&mut self, now: Instant) {
        self.length = (2 * self.length).clamp(SHORTEST, LONGEST);
        self.until = Some(now + self.length);
    }

    fn end(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_turn_is_followed_by_a_second_without_and_each_further_one_by_twice_that() {
        let (mut turns, mut now) = (Turns::default(), Instant::now());
        assert!(turns.apply(now));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            turns.missed_turn(now);
            let end = now + Duration::from_secs(seconds);
            assert!(!turns.apply(now) && !turns.apply(now + Duration::from_millis(seconds * 1_000 - 1)));
            assert!(turns.apply(end), "after {seconds} s");
            now = end;
        }
        turns.had_turn(true);
        turns.missed_turn(now);
        assert!(turns.apply(now + SHORTEST));
    }

    #[test]
    fn only_a_claim_that_did_not_lock_its_jobs_shows_that_none_is_locked_any_more() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.met_locked_job(now);
        assert!(turns.skip_locked(now) && turns.apply(now));
        turns.had_turn(true);
        assert!(turns.skip_locked(now));
        turns.met_locked_job(now + SHORTEST);
        assert!(turns.skip_locked(now + 2 * SHORTEST) && !turns.skip_locked(now + 3 * SHORTEST));
        turns.had_turn(false);
        assert!(!turns.skip_locked(now));
    }
}
