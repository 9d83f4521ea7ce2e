//! Who wakes the fetcher: the listener, the finisher, a reconnect.
//!
//! Promise: a wake-up that comes while the fetcher is busy is kept, and any number of them merge
//! into one.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::Notify;

/// No known due time.
const NEVER: i64 = i64::MAX;

/// Pending wake-ups. Up to 64 queues are told apart; with more, some are looked at needlessly.
pub(super) struct Wake {
    queues: AtomicU64,
    due_ms: AtomicI64,
    pending: Notify,
}

impl Default for Wake {
    fn default() -> Self {
        Self { queues: AtomicU64::new(0), due_ms: AtomicI64::new(NEVER), pending: Notify::new() }
    }
}

impl Wake {
    /// The queue with this number has due work.
    pub fn queue(&self, number: usize) {
        self.queues.fetch_or(bit(number), Ordering::AcqRel);
        self.pending.notify_one();
    }

    /// Something else has changed that the fetcher waits for.
    pub fn look_again(&self) {
        self.pending.notify_one();
    }

    /// Any queue may have due work.
    pub fn all(&self) {
        self.queues.store(u64::MAX, Ordering::Release);
        self.pending.notify_one();
    }

    /// Some queue will have due work at this time, in ms since 1970 by the database's clock.
    pub fn due_at(&self, database_ms: i64) {
        self.due_ms.fetch_min(database_ms, Ordering::AcqRel);
        self.pending.notify_one();
    }

    /// Resolves when something is pending.
    pub async fn pending(&self) {
        self.pending.notified().await;
    }

    /// Takes what is pending: which queues, and the earliest due time told.
    pub fn take(&self) -> Pending {
        let queues = self.queues.swap(0, Ordering::AcqRel);
        let due_ms = self.due_ms.swap(NEVER, Ordering::AcqRel);
        Pending { queues, due_ms: (due_ms != NEVER).then_some(due_ms) }
    }
}

/// What was pending.
pub(super) struct Pending {
    queues: u64,
    pub due_ms: Option<i64>,
}

impl Pending {
    pub fn has(&self, number: usize) -> bool {
        self.queues & bit(number) != 0
    }
}

fn bit(number: usize) -> u64 {
    1 << (number % 64)
}
