//! Turns: workers that share a backlog claim from it one after the other.
//!
//! A claim scans the rows that other claims have locked, and skips each of them at about the cost of claiming it. So if
//! eight workers claim at the same time, they skip more than they claim. A worker with peers therefore waits for its
//! turn while it claims full batches: an advisory lock for each queue, on the session of claims.
//!
//! Promises:
//! - A turn is only a matter of speed. A claim that does not get its turn within 2 s runs all the same.
//! - A worker without peers, an idle one, and a claim of a few jobs wait for no turn.
//! - A worker that is frozen during its turn costs each peer 2 s a minute, until its connection is closed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a worker takes no turns after a turn that it did not get.
const PAUSE: Duration = Duration::from_mins(1);

/// Whether this worker takes turns.
#[derive(Default)]
pub(in crate::worker) struct Turns {
    has_peers: AtomicBool,
    paused_until: Mutex<Option<Instant>>,
}

impl Turns {
    /// Records whether other workers are registered.
    pub fn set_has_peers(&self, has_peers: bool) {
        self.has_peers.store(has_peers, Ordering::Relaxed);
    }

    /// Whether a claim of full batches waits for its turn now.
    pub fn apply(&self, now: Instant) -> bool {
        self.has_peers.load(Ordering::Relaxed) && self.paused_until.lock().is_none_or(|until| now >= until)
    }

    /// Takes no turns for a while: a peer has kept its turn for too long.
    pub fn pause(&self, now: Instant) {
        *self.paused_until.lock() = Some(now + PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_apply_to_a_worker_with_peers_and_pause_after_one_that_it_did_not_get() {
        let (turns, now) = (Turns::default(), Instant::now());
        assert!(!turns.apply(now));
        turns.set_has_peers(true);
        assert!(turns.apply(now));
        turns.pause(now);
        assert!(!turns.apply(now + PAUSE.mul_f32(0.99)));
        assert!(turns.apply(now + PAUSE));
        turns.set_has_peers(false);
        assert!(!turns.apply(now + PAUSE));
    }
}
