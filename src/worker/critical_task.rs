//! Tasks that a worker cannot run without.
//!
//! Promise: if one of them panics, the shutdown begins, and `Worker::run` returns an error. No task is started again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::worker::Shutdown;

/// Begins the shutdown when one of them panics: a worker without it would seem alive and do nothing.
#[derive(Clone)]
pub(super) struct CriticalTasks {
    shutdown: Shutdown,
    panicked: Arc<AtomicBool>,
}

impl CriticalTasks {
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, panicked: Arc::default() }
    }

    /// Runs a critical task.
    pub async fn watch<T>(self, part: &'static str, work: impl Future<Output = T>) -> T {
        let _watch = Watch { critical: self, part };
        work.await
    }

    /// Runs a critical task that repeats for ever, and drops it at `stop`: at any `.await`, so what it does there must
    /// be safe to repeat.
    pub async fn watch_until(self, stop: CancellationToken, part: &'static str, work: impl Future<Output = ()>) {
        self.watch(part, stop.run_until_cancelled(work)).await;
    }

    /// Whether a critical task has panicked.
    pub fn has_panicked(&self) -> bool {
        self.panicked.load(Ordering::Acquire)
    }
}

struct Watch {
    critical: CriticalTasks,
    part: &'static str,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(part = self.part, "a critical task of the worker panicked; shutting down");
            self.critical.panicked.store(true, Ordering::Release);
            self.critical.shutdown.begin();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_panic_of_a_part_begins_the_shutdown_and_its_end_does_not() {
        let critical = CriticalTasks::new(Shutdown::new());
        critical.clone().watch("quiet", std::future::ready(())).await;
        assert!(!critical.has_panicked() && !critical.shutdown.has_begun());
        let part = tokio::spawn(critical.clone().watch("loud", async { panic!("loud") }));
        assert!(part.await.is_err());
        assert!(critical.has_panicked() && critical.shutdown.has_begun());
    }
}
