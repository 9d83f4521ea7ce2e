//! Outcomes that cannot be recorded now because of their job's row: it is locked, or the database refuses this row
//! and no other (a trigger or a constraint of its users).
//!
//! They wait here, so that they do not delay others.
//!
//! Promises: they are tried again until they are recorded or the shutdown ends. No job fails because of what the
//! database refuses. Memory only: `finisher` writes them.

use std::time::Duration;

use tokio::time::Instant;

use crate::worker::outcome::EndedAttempt;

/// The most deferred outcomes. With as many, no other outcomes are taken.
pub(in crate::worker) const MAX_DEFERRED: usize = 1_000;
/// How often to check whether a row is still locked.
const LOCKED_FOR: Duration = Duration::from_millis(500);
/// The delay before a refused outcome is tried again: the first one and the longest one. It doubles.
const REFUSED_FOR: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

#[derive(Default)]
pub(in crate::worker) struct DeferredOutcomes(Vec<(Instant, EndedAttempt)>);

impl DeferredOutcomes {
    /// Their rows are locked.
    pub fn locked(&mut self, ended: Vec<EndedAttempt>) {
        let next = Instant::now() + LOCKED_FOR;
        self.0.extend(ended.into_iter().map(|ended| (next, ended)));
    }

    /// The database refuses its row.
    pub fn refused(&mut self, mut ended: EndedAttempt) {
        let (first, longest) = REFUSED_FOR;
        let wait = first.saturating_mul(2_u32.saturating_pow(ended.refusals)).min(longest);
        ended.refusals += 1;
        self.0.push((Instant::now() + wait, ended));
    }

    /// When to try some of them again.
    pub fn next(&self) -> Option<Instant> {
        self.0.iter().map(|(at, _)| *at).min()
    }

    /// Takes out those that are due.
    pub fn take_due(&mut self) -> Vec<EndedAttempt> {
        let now = Instant::now();
        self.0.extract_if(.., |(at, _)| *at <= now).map(|(_, ended)| ended).collect()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.len() >= MAX_DEFERRED
    }
}
