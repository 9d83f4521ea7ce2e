//! What to claim next and when: pure decisions about one queue, without I/O.
//!
//! The fetcher passes a [`QueueView`] and executes the returned [`Step`]. Time is an argument, so that tests need no
//! clock.
//!
//! Promises: a claim is limited to the free slots and the prefetch; a buffered job waits for a slot for half a second
//! at most.

use std::time::{Duration, Instant};

use crate::worker::claim::idle_lock::IdleState;
use crate::worker::claim::prefetch::Prefetch;
use crate::worker::claim::timing::{ClaimOutcome, ClaimTimer, IdleLockAction};
use crate::worker::execute::slots::Occupancy;

/// The longest wait of a buffered job for a slot. Then it is released.
const MAX_BUFFERED: Duration = Duration::from_millis(500);
/// How long all slots must be taken before the worker releases the idle lock.
const RELEASE_AFTER_FULL: Duration = Duration::from_millis(5);
/// A claim of at least as many jobs is taken as a sign of a backlog.
const BACKLOG_BATCH: usize = 50;
/// How often a worker checks that the peer still holds the idle lock.
const VERIFY_PEER_EVERY: Duration = Duration::from_secs(2);

/// The state of one queue outside its plan.
#[derive(Clone, Copy, Debug)]
pub(in crate::worker) struct QueueView {
    pub occupancy: Occupancy,
    pub idle: IdleState,
}

/// What to do for one queue now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum Step {
    /// Wait for the deadline, a notification or a free slot.
    Wait,
    /// Release the buffered jobs: they have waited too long for a slot.
    ReleaseBuffered,
    /// Wait until at most this many jobs are buffered.
    RefillAt(usize),
    /// Claim up to this many jobs.
    Claim(usize),
}

/// The plan of one queue.
pub(in crate::worker) struct QueuePlan {
    timer: ClaimTimer,
    prefetch: Prefetch,
    /// When the last free slot was taken.
    full_since: Option<Instant>,
    idle_lock_checked_at: Instant,
    /// The last claim returned so many jobs that more are probably due.
    is_draining: bool,
    /// A notification has arrived since the last claim.
    is_notified: bool,
    notify_epoch: u32,
}

impl QueuePlan {
    pub fn new(now: Instant) -> Self {
        Self {
            timer: ClaimTimer::new(now),
            prefetch: Prefetch::new(now),
            full_since: None,
            idle_lock_checked_at: now,
            is_draining: false,
            is_notified: false,
            notify_epoch: 0,
        }
    }

    /// Handles a notification of a job.
    pub fn on_notify(&mut self, idle: IdleState, peers: u32, now: Instant) {
        self.is_notified |= self.timer.on_notify(idle, peers, now);
    }

    /// Claims no later than `time`.
    pub fn claim_by(&mut self, time: Instant) {
        self.timer.claim_by(time);
    }

    /// `epoch` counts the changes of the idle lock's holder. Jobs enqueued before the last change may have sent no
    /// notification, so one more claim is due.
    pub fn on_notify_epoch(&mut self, epoch: u32, now: Instant) {
        if std::mem::replace(&mut self.notify_epoch, epoch) != epoch {
            self.timer.claim_by(now);
        }
    }

    /// Whether to check now that the peer still holds the idle lock.
    pub fn verifies_peer(&mut self, idle: IdleState, now: Instant) -> bool {
        let is_due = idle == IdleState::HeldByPeer && now - self.idle_lock_checked_at >= VERIFY_PEER_EVERY;
        if is_due {
            self.idle_lock_checked_at = now;
        }
        is_due
    }

    /// Whether to release the idle lock now, because all slots are taken. Enqueues then send no notification, so a
    /// claim follows as soon as a slot is free.
    pub fn releases_idle_lock(&mut self, view: &QueueView, now: Instant) -> bool {
        self.full_since = if view.occupancy.free > 0 { None } else { self.full_since.or(Some(now)) };
        let is_full = self.full_since.is_some_and(|since| now - since >= RELEASE_AFTER_FULL);
        if view.idle.is_notified() && is_full {
            self.timer.claim_by(now);
            return true;
        }
        false
    }

    /// Returns the step to take now. A claim takes at most `max_batch` jobs.
    pub fn step(&mut self, view: &QueueView, max_batch: usize, now: Instant) -> Step {
        let occupancy = view.occupancy;
        self.prefetch.note(occupancy.freed, now);
        if occupancy.waiting_since.is_some_and(|since| now - since >= MAX_BUFFERED) {
            return Step::ReleaseBuffered;
        }
        if !self.timer.is_due(now) {
            return Step::Wait;
        }
        let ahead = self.prefetch.ahead();
        let refill_at = (ahead / 2).saturating_sub(1);
        if occupancy.free == 0 && occupancy.buffered > refill_at {
            return Step::RefillAt(refill_at);
        }
        match (occupancy.free + ahead.saturating_sub(occupancy.buffered)).min(max_batch) {
            0 => Step::RefillAt(0),
            limit => Step::Claim(limit),
        }
    }

    /// Whether the queue probably has a backlog: the last claim returned many jobs, though perhaps not all it asked for,
    /// because peers took them first.
    pub fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Records how long the last claim waited for its turn.
    pub fn turn_waited(&mut self, time: Duration) {
        self.prefetch.turn_waited(time);
    }

    /// Records an answered claim. Returns whether it did not find a notified job, and what to do about the idle lock.
    pub fn on_claim(&mut self, claim: ClaimOutcome, now: Instant) -> (bool, IdleLockAction) {
        self.is_draining = claim.got >= BACKLOG_BATCH;
        let was_notified_in_vain = std::mem::take(&mut self.is_notified) && claim.got == 0;
        let action = self.timer.on_claim(claim, now);
        if action == IdleLockAction::Acquire {
            self.idle_lock_checked_at = now;
        }
        (was_notified_in_vain, action)
    }

    /// The time of the next step if no event comes first.
    pub fn deadline(&self, view: &QueueView, now: Instant) -> Option<Instant> {
        let occupancy = view.occupancy;
        let buffered = occupancy.waiting_since.map(|since| since + MAX_BUFFERED);
        let verify = (view.idle == IdleState::HeldByPeer).then_some(self.idle_lock_checked_at + VERIFY_PEER_EVERY);
        let claim = self.timer.next().filter(|next| *next > now || occupancy.free > 0);
        let is_full = occupancy.free == 0 && view.idle.is_notified();
        let full = is_full.then(|| self.full_since.unwrap_or(now) + RELEASE_AFTER_FULL);
        [buffered, verify, claim, full].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(free: usize, buffered: usize, idle: IdleState) -> QueueView {
        QueueView { occupancy: Occupancy { free, buffered, freed: 0, waiting_since: None }, idle }
    }

    #[test]
    fn free_slots_are_claimed_for_up_to_the_batch() {
        let now = Instant::now();
        let mut plan = QueuePlan::new(now);
        assert_eq!(plan.step(&view(10, 0, IdleState::Busy), 1_000, now), Step::Claim(10));
        assert_eq!(plan.step(&view(10, 0, IdleState::Busy), 4, now), Step::Claim(4));
        assert_eq!(plan.step(&view(0, 0, IdleState::Busy), 1_000, now), Step::RefillAt(0));
    }

    #[test]
    fn nothing_is_claimed_before_it_is_due() {
        let now = Instant::now();
        let mut plan = QueuePlan::new(now);
        let idle = view(10, 0, IdleState::Holding);
        plan.on_claim(ClaimOutcome { asked: 10, got: 0, idle: IdleState::Holding }, now);
        assert_eq!(plan.step(&idle, 1_000, now), Step::Wait);
        assert_eq!(plan.deadline(&idle, now), None);
        plan.on_notify(IdleState::Holding, 1, now);
        assert_eq!(plan.step(&idle, 1_000, now), Step::Claim(10));
    }

    #[test]
    fn a_job_waits_half_a_second_for_a_slot_and_is_then_released() {
        let now = Instant::now();
        let mut plan = QueuePlan::new(now);
        let mut full = view(0, 1, IdleState::Busy);
        full.occupancy.waiting_since = Some(now);
        assert_eq!(plan.deadline(&full, now), Some(now + MAX_BUFFERED));
        assert_eq!(plan.step(&full, 1_000, now + MAX_BUFFERED), Step::ReleaseBuffered);
    }

    #[test]
    fn the_idle_lock_is_released_once_all_slots_are_taken_for_a_while() {
        let now = Instant::now();
        let mut plan = QueuePlan::new(now);
        let full = view(0, 0, IdleState::Holding);
        assert!(!plan.releases_idle_lock(&full, now));
        assert_eq!(plan.deadline(&full, now), Some(now + RELEASE_AFTER_FULL));
        assert!(plan.releases_idle_lock(&full, now + RELEASE_AFTER_FULL));
        assert!(!plan.releases_idle_lock(&view(1, 0, IdleState::Holding), now + 2 * RELEASE_AFTER_FULL));
    }

    #[test]
    fn a_claim_of_many_jobs_shows_a_backlog() {
        let now = Instant::now();
        let mut plan = QueuePlan::new(now);
        assert!(!plan.is_draining());
        for (asked, got, expected) in [(50, 50, true), (1_000, 50, true), (1_000, 49, false), (49, 49, false)] {
            plan.on_claim(ClaimOutcome { asked, got, idle: IdleState::Busy }, now);
            assert_eq!(plan.is_draining(), expected, "{got} of {asked}");
        }
    }

    #[test]
    fn a_peer_is_checked_every_two_seconds() {
        let now = Instant::now();
        let mut plan = QueuePlan::new(now);
        assert!(!plan.verifies_peer(IdleState::HeldByPeer, now));
        assert!(plan.verifies_peer(IdleState::HeldByPeer, now + VERIFY_PEER_EVERY));
        assert!(!plan.verifies_peer(IdleState::HeldByPeer, now + VERIFY_PEER_EVERY));
        assert!(!plan.verifies_peer(IdleState::Holding, now + 2 * VERIFY_PEER_EVERY));
    }

    #[test]
    fn a_change_of_the_holder_asks_for_one_more_claim() {
        let now = Instant::now();
        let mut plan = QueuePlan::new(now);
        let idle = view(10, 0, IdleState::Holding);
        plan.on_claim(ClaimOutcome { asked: 10, got: 0, idle: IdleState::Holding }, now);
        plan.on_notify_epoch(0, now);
        assert_eq!(plan.step(&idle, 1_000, now), Step::Wait);
        plan.on_notify_epoch(1, now);
        assert_eq!(plan.step(&idle, 1_000, now), Step::Claim(10));
    }
}
