//! Peer checks: which notifications an idle worker follows although a peer holds the idle lock.
//!
//! A notification reaches all workers. The peer that holds the idle lock claims the job at once. The others must not
//! depend on it: it may be frozen, or it may not know the job's kind. But of 64 workers, 63 would claim in vain. So each
//! follows only some of the notifications: all while it finds jobs, half as many after each time that it found none, and
//! at last so many that about three of all workers check.
//!
//! Promise: with up to three peers, a worker follows every notification. A job that nobody follows is found by the poll.

/// About how many workers check at least.
const MIN_CHECKS: f64 = 3.0;

/// The checks of one queue.
pub(in crate::worker) struct PeerChecks {
    /// The share of the notifications to follow, by what the last checks found.
    share: f64,
    is_pending: bool,
}

impl Default for PeerChecks {
    fn default() -> Self {
        Self { share: 1.0, is_pending: false }
    }
}

impl PeerChecks {
    /// Whether to follow a notification. `dice` is a random number from 0 to 1.
    pub fn follows(&mut self, peers: u32, dice: f64) -> bool {
        let share = self.share.max(MIN_CHECKS / f64::from(peers));
        let follows = dice < share;
        self.is_pending |= follows;
        follows
    }

    /// Records what a claim returned.
    pub fn on_claim(&mut self, got: usize) {
        if std::mem::take(&mut self.is_pending) {
            self.share = if got > 0 { 1.0 } else { self.share / 2.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of the notifications that are followed, in a thousand.
    fn followed(checks: &mut PeerChecks, peers: u32) -> usize {
        (0..1_000).filter(|number| checks.follows(peers, f64::from(*number) / 1_000.0)).count()
    }

    #[test]
    fn few_of_many_workers_check_once_their_checks_have_found_nothing() {
        let mut checks = PeerChecks::default();
        assert_eq!(followed(&mut checks, 60), 1_000);
        for expected in [500, 250, 125, 63, 50, 50] {
            checks.on_claim(0);
            assert_eq!(followed(&mut checks, 60), expected);
        }
        checks.on_claim(1);
        assert_eq!(followed(&mut checks, 60), 1_000, "it has found a job");
    }

    #[test]
    fn a_claim_that_follows_no_notification_changes_nothing() {
        let mut checks = PeerChecks::default();
        checks.on_claim(0);
        assert_eq!(followed(&mut checks, 60), 1_000);
    }

    #[test]
    fn with_few_peers_all_check() {
        let mut checks = PeerChecks::default();
        for peers in [0, 1, 2, 3] {
            assert_eq!(followed(&mut checks, peers), 1_000);
            checks.on_claim(0);
        }
    }
}
