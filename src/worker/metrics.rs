//! Counters of one worker process.
//!
//! Promises: counters only rise, except `running`. Counting never waits. No decision about a job depends on a counter.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What a worker has done since it started. Counters only rise, except `running`.
        #[derive(Debug, Default)]
        pub struct Metrics { $(pub(super) $name: Counter,)* }

        impl Metrics {
            $($(#[$doc])* #[must_use] pub fn $name(&self) -> u64 { self.$name.get() })*
        }
    };
}

counters! {
    /// Attempts claimed.
    claimed,
    /// Jobs completed.
    completed,
    /// Attempts that failed, by error, panic or timeout.
    failed,
    /// Attempts that panicked; also counted as failed.
    panicked,
    /// Jobs discarded.
    discarded,
    /// Jobs cancelled.
    cancelled,
    /// Attempts snoozed.
    snoozed,
    /// Attempts released unrun, or cut off by the shutdown.
    released,
    /// Outcomes refused because another attempt owns the job.
    stale,
    /// Jobs rescued from dead workers.
    rescued,
    /// Changes of the server: restarts and failovers.
    failovers,
    /// Attempts running now.
    running,
}

/// A counter that many tasks share.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn increment(&self) {
        self.add(1);
    }

    pub fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
