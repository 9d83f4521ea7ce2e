//! The signal that wakes the fetcher. The listener, the finisher and reconnects send it.
//!
//! Promise: a wake during a claim is kept. Any number of wakes merge into one.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::Notify;

/// No due time is known.
const NEVER: i64 = i64::MAX;

/// Pending wakes. With more than 64 queues, some are polled needlessly.
pub(in crate::worker) struct Wake {
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
    /// Wakes for one queue.
    pub fn queue(&self, number: usize) {
        self.queues.fetch_or(bit(number), Ordering::AcqRel);
        self.pending.notify_one();
    }

    /// Wakes without naming a queue: some other state has changed.
    pub fn recheck(&self) {
        self.pending.notify_one();
    }

    /// Wakes for all queues.
    pub fn all(&self) {
        self.queues.store(u64::MAX, Ordering::Release);
        self.pending.notify_one();
    }

    /// Wakes at this time, in ms since 1970 by the database's clock.
    pub fn due_at(&self, database_ms: i64) {
        self.due_ms.fetch_min(database_ms, Ordering::AcqRel);
        self.pending.notify_one();
    }

    /// Waits for a pending wake.
    pub async fn pending(&self) {
        self.pending.notified().await;
    }

    /// Takes the pending wakes: the queues and the earliest due time.
    pub fn take(&self) -> Pending {
        let queues = self.queues.swap(0, Ordering::AcqRel);
        let due_ms = self.due_ms.swap(NEVER, Ordering::AcqRel);
        Pending { queues, due_ms: (due_ms != NEVER).then_some(due_ms) }
    }
}

/// The pending wakes.
pub(in crate::worker) struct Pending {
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
