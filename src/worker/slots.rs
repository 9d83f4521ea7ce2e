//! How many more jobs of each queue may run.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::settings::QueueSettings;

/// The slots of all queues. Only the fetcher takes slots; anyone gives them back.
pub(super) struct Slots {
    taken: Vec<AtomicUsize>,
    limits: Vec<usize>,
    freed: Notify,
}

impl Slots {
    pub fn new(queues: &[QueueSettings]) -> Self {
        Self {
            taken: queues.iter().map(|_| AtomicUsize::new(0)).collect(),
            limits: queues.iter().map(|queue| queue.concurrency).collect(),
            freed: Notify::new(),
        }
    }

    pub fn free(&self, queue: usize) -> usize {
        self.limits[queue].saturating_sub(self.taken[queue].load(Ordering::Acquire))
    }

    pub fn take(&self, queue: usize) {
        self.taken[queue].fetch_add(1, Ordering::AcqRel);
    }

    pub fn give_back(&self, queue: usize) {
        self.taken[queue].fetch_sub(1, Ordering::AcqRel);
        self.freed.notify_one();
    }

    pub fn all_free(&self) -> bool {
        self.taken.iter().all(|taken| taken.load(Ordering::Acquire) == 0)
    }

    /// Resolves when a slot was given back since the last call.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }
}
