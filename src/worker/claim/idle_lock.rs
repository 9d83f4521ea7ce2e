//! The idle lock of each queue. It decides whether an enqueue sends a notification.
//!
//! The fetcher decides for which queues this worker is idle. The listener holds the lock on the connection that
//! receives the notifications, so a worker that cannot receive any never holds it. One idle worker holds the lock for
//! all idle workers, and all of them are notified.
//!
//! | state | event | next state |
//! | --- | --- | --- |
//! | any | the listener loses its connection | `NotListening` |
//! | any | the listener connects | `Busy` |
//! | `Busy`, `Contended`, `HeldByPeer` | the fetcher asks for the lock | `Acquiring` |
//! | `HeldByPeer` | the peer releases the lock | `Acquiring` |
//! | `HeldByPeer` | the fetcher asks for a check | `Verifying` |
//! | `Acquiring`, `Verifying` | the result of a try | `Holding`, `HeldByPeer` or `Contended` |
//! | `Holding` | the fetcher gives the lock up | `Releasing` |
//! | `HeldByPeer` | the fetcher gives the lock up | `Busy` |
//! | `Releasing` | the listener has released the lock | `Busy` |
//!
//! Other events change no state. If a peer releases the lock while a try finds it held, the try is repeated.
//!
//! Promise: if a claim begins while this worker or a peer holds the lock, and finds the queue empty, the queue needs no
//! further claim until a notification or the next poll.

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::store::idle_lock::{IdleKey, TryIdleLock};

/// The state of one queue's idle lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum IdleState {
    /// The listener has no connection, so it cannot hold the lock.
    NotListening,
    /// This worker is not idle.
    Busy,
    /// The listener is asked to acquire the lock.
    Acquiring,
    /// This worker holds it.
    Holding,
    /// A peer holds it.
    HeldByPeer,
    /// An enqueue's open transaction holds the shared form and sends no notification. Only a poll finds its job.
    Contended,
    /// The listener is asked to release the lock.
    Releasing,
    /// A peer held it. The listener is asked to check that it still does.
    Verifying,
}

impl IdleState {
    /// Whether an enqueue sends a notification.
    pub fn is_notified(self) -> bool {
        matches!(self, Self::Holding | Self::HeldByPeer)
    }

    /// Whether the listener has a request to handle.
    fn is_request(self) -> bool {
        matches!(self, Self::Acquiring | Self::Verifying | Self::Releasing)
    }
}

/// An event of one queue's idle lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The listener has connected or lost its connection. Either way it holds no lock.
    Listening(bool),
    /// The fetcher requests the lock.
    Acquire,
    /// The fetcher requests a check that the peer still holds it.
    VerifyPeer,
    /// The fetcher no longer needs it.
    Release,
    /// The listener is about to try the lock.
    TryStarted,
    /// The result of the try.
    TryFinished(IdleKey, TryIdleLock),
    /// A peer that held the lock with this key has released it.
    PeerReleased(IdleKey),
    /// The listener has released it.
    Released,
}

/// One queue's idle lock, as known to this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IdleLock {
    state: IdleState,
    /// None before the first try.
    key: Option<IdleKey>,
    /// A peer has released the lock since the last try began: its notification may overtake the result of the try.
    peer_released: bool,
    /// Incremented when earlier enqueues may have sent no notification. One more claim is then due.
    notify_epoch: u32,
}

impl IdleLock {
    const NEW: Self = Self { state: IdleState::NotListening, key: None, peer_released: false, notify_epoch: 0 };

    /// Returns the lock after the event, and whether the listener has a new request.
    fn step(mut self, event: Event) -> (Self, bool) {
        use IdleState::{Acquiring, Busy, Contended, HeldByPeer, Holding, NotListening, Releasing, Verifying};
        let before = self.state;
        self.state = match (event, before) {
            (Event::Listening(false), _) => NotListening,
            (Event::Listening(true), _) | (Event::Release, HeldByPeer) | (Event::Released, Releasing) => Busy,
            (Event::Acquire, Busy | Contended | HeldByPeer) => Acquiring,
            (Event::VerifyPeer, HeldByPeer) => Verifying,
            (Event::Release, Holding) => Releasing,
            (Event::TryStarted, state) => {
                self.peer_released = false;
                state
            }
            (Event::PeerReleased(key), state) if self.key.is_none_or(|own| own == key) => {
                self.peer_released = true;
                if state == HeldByPeer { Acquiring } else { state }
            }
            (Event::TryFinished(key, result), state) => {
                self.key = Some(key);
                if result == TryIdleLock::HeldByPeer && self.peer_released {
                    // The result is out of date: try again.
                    return (self, true);
                }
                self.on_result(state, result)
            }
            (_, state) => state,
        };
        (self, self.state != before && self.state.is_request())
    }

    /// Returns the state after a try. A newer request of the fetcher takes precedence.
    fn on_result(&mut self, state: IdleState, result: TryIdleLock) -> IdleState {
        let new = match result {
            TryIdleLock::Acquired => IdleState::Holding,
            TryIdleLock::HeldByPeer => IdleState::HeldByPeer,
            TryIdleLock::Contended => IdleState::Contended,
        };
        // A peer that still holds the lock has held it throughout, so earlier enqueues have sent notifications.
        let may_have_missed = match state {
            IdleState::Acquiring => new.is_notified(),
            IdleState::Verifying => new != IdleState::HeldByPeer,
            _ => return state,
        };
        if may_have_missed {
            self.notify_epoch = self.notify_epoch.wrapping_add(1);
        }
        new
    }
}

/// The idle locks of a worker's queues.
pub(in crate::worker) struct IdleLocks {
    queues: Mutex<Vec<IdleLock>>,
    requested: Notify,
}

impl IdleLocks {
    pub fn new(queues: usize) -> Self {
        Self { queues: Mutex::new(vec![IdleLock::NEW; queues]), requested: Notify::new() }
    }

    /// The state of a queue's lock.
    pub fn of(&self, queue: usize) -> IdleState {
        self.queues.lock()[queue].state
    }

    /// Counts the changes of the lock's holder that require one more claim.
    pub fn notify_epoch(&self, queue: usize) -> u32 {
        self.queues.lock()[queue].notify_epoch
    }

    /// Requests a queue's lock.
    pub fn acquire(&self, queue: usize) {
        self.apply(queue, Event::Acquire);
    }

    /// Requests a check that a peer still holds a queue's lock.
    pub fn verify_peer(&self, queue: usize) {
        self.apply(queue, Event::VerifyPeer);
    }

    /// As [`Self::verify_peer`], for all queues.
    pub fn verify_peers(&self) {
        self.apply_to_all(Event::VerifyPeer);
    }

    /// Requests the release of a queue's lock.
    pub fn release(&self, queue: usize) {
        self.apply(queue, Event::Release);
    }

    /// Records that the listener has connected or lost its connection.
    pub fn set_listening(&self, is_listening: bool) {
        self.apply_to_all(Event::Listening(is_listening));
    }

    /// A peer that held the lock with this key has released it.
    pub fn on_peer_release(&self, key: IdleKey) {
        self.apply_to_all(Event::PeerReleased(key));
    }

    /// Returns the queues for which the listener must try the lock now.
    pub fn pending_acquires(&self) -> Vec<usize> {
        let queues = self.all(&[IdleState::Acquiring, IdleState::Verifying]);
        for queue in &queues {
            self.apply(*queue, Event::TryStarted);
        }
        queues
    }

    /// Records the result of a try for a queue's lock.
    pub fn on_acquire_result(&self, queue: usize, key: IdleKey, result: TryIdleLock) {
        self.apply(queue, Event::TryFinished(key, result));
    }

    /// Returns the queues for which the listener must release the lock.
    pub fn pending_releases(&self) -> Vec<usize> {
        self.all(&[IdleState::Releasing])
    }

    /// Records that the listener has released a queue's lock.
    pub fn on_released(&self, queue: usize) {
        self.apply(queue, Event::Released);
    }

    /// Waits for a request to the listener.
    pub async fn requested(&self) {
        self.requested.notified().await;
    }

    fn all(&self, states: &[IdleState]) -> Vec<usize> {
        let queues = self.queues.lock();
        (0..queues.len()).filter(|queue| states.contains(&queues[*queue].state)).collect()
    }

    fn apply(&self, queue: usize, event: Event) {
        let mut queues = self.queues.lock();
        let (lock, is_requested) = queues[queue].step(event);
        queues[queue] = lock;
        drop(queues);
        if is_requested {
            self.requested.notify_one();
        }
    }

    fn apply_to_all(&self, event: Event) {
        let queues = self.queues.lock().len();
        (0..queues).for_each(|queue| self.apply(queue, event));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const KEY: IdleKey = 5;

    fn held_by_peer() -> IdleLocks {
        let idle_locks = IdleLocks::new(1);
        idle_locks.set_listening(true);
        idle_locks.acquire(0);
        idle_locks.on_acquire_result(0, KEY, TryIdleLock::HeldByPeer);
        assert_eq!(idle_locks.of(0), IdleState::HeldByPeer);
        idle_locks
    }

    #[test]
    fn only_a_change_of_the_holder_asks_for_one_more_claim() {
        for (answer, claims) in [(TryIdleLock::HeldByPeer, 0), (TryIdleLock::Acquired, 1), (TryIdleLock::Contended, 1)]
        {
            let idle_locks = held_by_peer();
            let before = idle_locks.notify_epoch(0);
            idle_locks.verify_peer(0);
            idle_locks.on_acquire_result(0, KEY, answer);
            assert_eq!(idle_locks.notify_epoch(0) - before, claims, "{answer:?}");
        }
    }

    #[test]
    fn a_released_lock_is_acquired_by_the_queues_with_its_key() {
        let idle_locks = held_by_peer();
        idle_locks.on_peer_release(KEY + 1);
        assert_eq!(idle_locks.of(0), IdleState::HeldByPeer);
        idle_locks.on_peer_release(KEY);
        assert_eq!(idle_locks.of(0), IdleState::Acquiring);
    }

    #[test]
    fn the_notification_of_a_release_may_overtake_the_result_held_by_peer() {
        let idle_locks = held_by_peer();
        idle_locks.verify_peer(0);
        assert_eq!(idle_locks.pending_acquires(), [0]);
        idle_locks.on_peer_release(KEY);
        idle_locks.on_acquire_result(0, KEY, TryIdleLock::HeldByPeer);
        assert_eq!(idle_locks.pending_acquires(), [0], "it is tried again");
    }

    /// What one enqueue, one worker and one peer can do to a queue's lock. The test also tracks the true state.
    #[derive(Clone, Debug)]
    enum Move {
        Listening(bool),
        Acquire,
        Verify,
        Release,
        /// The listener tries the lock and receives the result later.
        Try,
        Result,
        ReleaseDone,
        PeerTakes,
        PeerReleases,
        PeerDies,
    }

    fn a_move() -> impl Strategy<Value = Move> {
        prop_oneof![
            any::<bool>().prop_map(Move::Listening),
            Just(Move::Acquire),
            Just(Move::Verify),
            Just(Move::Release),
            Just(Move::Try),
            Just(Move::Result),
            Just(Move::ReleaseDone),
            Just(Move::PeerTakes),
            Just(Move::PeerReleases),
            Just(Move::PeerDies),
        ]
    }

    proptest! {
        /// The worker never believes that it holds a lock that it does not hold. A wrong belief that a peer holds it
        /// ends with the notification of the release or with a check.
        #[test]
        fn what_the_worker_believes_follows_the_truth(moves in vec(a_move(), 1..200)) {
            let locks = IdleLocks::new(1);
            let (mut listens, mut held, mut peer_holds) = (false, false, false);
            let mut result = None;
            for a_move in moves {
                match a_move {
                    Move::Listening(does) => {
                        (listens, held, result) = (does, false, None);
                        locks.set_listening(does);
                    }
                    Move::Acquire => locks.acquire(0),
                    Move::Verify => locks.verify_peer(0),
                    Move::Release => locks.release(0),
                    Move::Try if listens && result.is_none() && !locks.pending_acquires().is_empty() => {
                        result = Some(if peer_holds { TryIdleLock::HeldByPeer } else { TryIdleLock::Acquired });
                        held |= !peer_holds;
                    }
                    Move::Result => {
                        if let Some(result) = result.take() {
                            locks.on_acquire_result(0, KEY, result);
                        }
                    }
                    Move::ReleaseDone if result.is_none() && !locks.pending_releases().is_empty() => {
                        held = false;
                        locks.on_released(0);
                    }
                    Move::PeerTakes if !held => peer_holds = true,
                    Move::PeerReleases if peer_holds => {
                        peer_holds = false;
                        // The notification is received before the next result.
                        if listens {
                            locks.on_peer_release(KEY);
                        }
                    }
                    Move::PeerDies => peer_holds = false,
                    _ => {}
                }
                let state = locks.of(0);
                prop_assert!(state != IdleState::Holding || held, "believes that it holds the lock");
                prop_assert_eq!(state == IdleState::NotListening, !listens);
                prop_assert!(!held || result.is_some() || matches!(state, IdleState::Holding | IdleState::Releasing),
                    "holds a lock in {:?}", state);
            }
            // After the last move, a check finds the true state.
            if listens {
                if let Some(result) = result.take() {
                    locks.on_acquire_result(0, KEY, result);
                }
                locks.verify_peer(0);
                for _ in 0..3 {
                    if !locks.pending_acquires().is_empty() {
                        locks.on_acquire_result(0, KEY, if peer_holds { TryIdleLock::HeldByPeer } else { TryIdleLock::Acquired });
                    }
                }
                prop_assert!(locks.of(0) != IdleState::HeldByPeer || peer_holds);
            }
        }
    }
}
