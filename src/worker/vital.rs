//! Parts that a worker cannot live without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Shutdown;

/// Notices the panic of a part, and then begins the shutdown: a worker without one of them would
/// seem alive and do nothing.
#[derive(Clone)]
pub(super) struct Vital {
    shutdown: Shutdown,
    broken: Arc<AtomicBool>,
}

impl Vital {
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, broken: Arc::default() }
    }

    /// Runs a part under watch.
    pub async fn watch<T>(self, part: &'static str, work: impl Future<Output = T>) -> T {
        let _watch = Watch { vital: self, part };
        work.await
    }

    /// Whether some part has panicked.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

struct Watch {
    vital: Vital,
    part: &'static str,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(part = self.part, "a part of the worker panicked; shutting down");
            self.vital.broken.store(true, Ordering::Release);
            self.vital.shutdown.begin();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_panic_of_a_part_begins_the_shutdown_and_its_end_does_not() {
        let vital = Vital::new(Shutdown::new());
        vital.clone().watch("quiet", std::future::ready(())).await;
        assert!(!vital.is_broken() && !vital.shutdown.has_begun());
        let part = tokio::spawn(vital.clone().watch("loud", async { panic!("loud") }));
        assert!(part.await.is_err());
        assert!(vital.is_broken() && vital.shutdown.has_begun());
    }
}
