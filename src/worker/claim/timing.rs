//! When to claim from a queue next.
//!
//! ```text
//!          notification                   batch full
//!   ┌──────────────────────────▶ now ◀──────────────────────┐
//!   │                             │ batch not full          │
//!  idle ◀── empty, enqueues notify ── after a delay ────────┘
//!   │                             ▲    │ empty, enqueues do not notify
//!   └── poll, or due time ────────┘    └──▶ acquire the idle lock, poll again soon
//! ```
//!
//! A batch that is not full does not prove that the queue is empty: the claim skips a row that changed between its
//! snapshot and its lock. So one more claim follows. An empty batch does not prove it either while enqueues do not
//! notify because no worker was idle.
//!
//! Promise: a queue is polled within 20 ms until an empty claim has begun while enqueues notify. Without a listener,
//! two empty claims end that, and the poll interval applies. Only decisions about time: no I/O.

use std::time::{Duration, Instant};

use crate::worker::claim::idle_lock::IdleState;
use crate::worker::claim::peer_checks::PeerChecks;

/// The delay after a batch that left slots free, so that a stream of jobs is claimed in batches.
const BATCH_DELAY: Duration = Duration::from_millis(1);
/// The first delay while enqueues send no notification. Doubles up to [`MAX_POLL`].
const MIN_POLL: Duration = Duration::from_millis(5);
const MAX_POLL: Duration = Duration::from_millis(20);
/// A worker is busy after this many productive claims in a row.
const BUSY_AFTER: u32 = 8;
/// The head start of the peer that holds the idle lock, after a notification.
const PEER_HEAD_START: Duration = Duration::from_millis(1);
/// The most random delay on top, so that the other idle workers do not all claim at once.
const PEER_HEAD_START_JITTER: Duration = Duration::from_millis(2);
/// The shortest time between two claims after notifications that a peer handles.
const MIN_BETWEEN_PEER_CHECKS: Duration = Duration::from_millis(25);

/// The timer of one queue.
pub(in crate::worker) struct ClaimTimer {
    /// When to claim. None while the queue waits for a notification.
    next: Option<Instant>,
    /// Claims in a row that returned jobs.
    productive_claims: u32,
    /// Claims in a row that returned none.
    empty_claims: u32,
    /// The time of the last claim here after a notification that a peer handles.
    deferred_to_peer_at: Option<Instant>,
    peer_checks: PeerChecks,
}

/// What a claim returned.
#[derive(Clone, Copy)]
pub(in crate::worker) struct ClaimOutcome {
    pub asked: usize,
    pub got: usize,
    /// The idle state when the claim began.
    pub idle: IdleState,
}

/// What to do about the idle lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum IdleLockAction {
    Keep,
    Acquire,
    Release,
}

impl ClaimTimer {
    pub fn new(now: Instant) -> Self {
        Self {
            next: Some(now),
            productive_claims: 0,
            empty_claims: 0,
            deferred_to_peer_at: None,
            peer_checks: PeerChecks::default(),
        }
    }

    /// When to claim next. None while the queue waits for a notification.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Handles a notification of a job. Returns whether a claim follows.
    pub fn on_notify(&mut self, state: IdleState, peers: u32, now: Instant) -> bool {
        let at = if state == IdleState::HeldByPeer {
            if !self.peer_checks.follows(peers, fastrand::f64()) {
                return false;
            }
            let soon = now + PEER_HEAD_START + PEER_HEAD_START_JITTER.mul_f64(fastrand::f64());
            let at = self.deferred_to_peer_at.map_or(soon, |last| soon.max(last + MIN_BETWEEN_PEER_CHECKS));
            self.deferred_to_peer_at = Some(at);
            at
        } else {
            now
        };
        self.claim_by(at);
        true
    }

    /// Claims no later than `time`.
    pub fn claim_by(&mut self, time: Instant) {
        self.next = Some(self.next.map_or(time, |next| next.min(time)));
    }

    /// Plans the next claim after an answered one.
    pub fn on_claim(&mut self, claim: ClaimOutcome, now: Instant) -> IdleLockAction {
        self.peer_checks.on_claim(claim.got);
        if claim.got > 0 {
            self.productive_claims += 1;
            self.empty_claims = 0;
            self.next = Some(if claim.got >= claim.asked { now } else { now + BATCH_DELAY });
            return if self.productive_claims >= BUSY_AFTER { IdleLockAction::Release } else { IdleLockAction::Keep };
        }
        self.productive_claims = 0;
        self.empty_claims += 1;
        match claim.idle {
            IdleState::Holding | IdleState::HeldByPeer | IdleState::Verifying => self.wait_for_notify(),
            IdleState::NotListening if self.empty_claims > 1 => self.wait_for_notify(),
            IdleState::Busy | IdleState::Contended if self.empty_claims > 1 => {
                let wait = MIN_POLL * 2u32.saturating_pow(self.empty_claims.saturating_sub(2).min(8));
                self.next = Some(now + wait.min(MAX_POLL));
                return IdleLockAction::Acquire;
            }
            IdleState::Acquiring | IdleState::Releasing => self.next = Some(now + MAX_POLL),
            IdleState::NotListening | IdleState::Busy | IdleState::Contended => self.next = Some(now + BATCH_DELAY),
        }
        IdleLockAction::Keep
    }

    fn wait_for_notify(&mut self) {
        self.next = None;
        self.empty_claims = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(asked: usize, got: usize, idle: IdleState) -> ClaimOutcome {
        ClaimOutcome { asked, got, idle }
    }

    #[test]
    fn a_full_batch_is_followed_at_once_and_a_short_one_in_a_moment() {
        let now = Instant::now();
        let mut timer = ClaimTimer::new(now);
        assert_eq!(timer.on_claim(claim(5, 5, IdleState::Busy), now), IdleLockAction::Keep);
        assert_eq!(timer.next(), Some(now));
        timer.on_claim(claim(5, 4, IdleState::Busy), now);
        assert_eq!(timer.next(), Some(now + BATCH_DELAY));
    }

    #[test]
    fn it_waits_for_notifications_only_while_they_are_sent() {
        let now = Instant::now();
        let mut timer = ClaimTimer::new(now);
        timer.on_claim(claim(5, 0, IdleState::Busy), now);
        assert_eq!(timer.on_claim(claim(5, 0, IdleState::Busy), now), IdleLockAction::Acquire);
        assert_eq!(timer.next(), Some(now + MIN_POLL));
        assert_eq!(timer.on_claim(claim(5, 0, IdleState::Contended), now), IdleLockAction::Acquire);
        assert_eq!(timer.next(), Some(now + 2 * MIN_POLL));
        timer.claim_by(now);
        timer.on_claim(claim(5, 0, IdleState::Holding), now);
        assert_eq!(timer.next(), None);
        timer.on_notify(IdleState::Holding, 1, now);
        assert!(timer.is_due(now));
    }

    #[test]
    fn without_notifications_two_empty_claims_are_enough() {
        let now = Instant::now();
        let mut timer = ClaimTimer::new(now);
        timer.on_claim(claim(5, 0, IdleState::NotListening), now);
        assert!(timer.next().is_some());
        timer.on_claim(claim(5, 0, IdleState::NotListening), now);
        assert_eq!(timer.next(), None);
    }

    #[test]
    fn a_stream_of_jobs_releases_the_idle_lock() {
        let now = Instant::now();
        let mut timer = ClaimTimer::new(now);
        let actions: Vec<IdleLockAction> =
            (0..BUSY_AFTER).map(|_| timer.on_claim(claim(5, 1, IdleState::Holding), now)).collect();
        assert_eq!(actions.iter().filter(|action| **action == IdleLockAction::Release).count(), 1);
        assert_eq!(actions.last(), Some(&IdleLockAction::Release));
    }

    #[test]
    fn a_notified_worker_leaves_the_job_to_the_holder_for_a_moment() {
        let now = Instant::now();
        let mut timer = ClaimTimer::new(now);
        timer.on_claim(claim(5, 0, IdleState::HeldByPeer), now);
        timer.on_notify(IdleState::HeldByPeer, 1, now);
        let first = timer.next().unwrap();
        assert!(first >= now + PEER_HEAD_START && first <= now + PEER_HEAD_START + PEER_HEAD_START_JITTER);
        timer.on_claim(claim(5, 0, IdleState::HeldByPeer), first);
        timer.on_notify(IdleState::HeldByPeer, 1, first);
        assert!(timer.next().unwrap() >= first + MIN_BETWEEN_PEER_CHECKS);
    }
}
