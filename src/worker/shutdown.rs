//! The stop signal, passed in from outside.

use tokio_util::sync::CancellationToken;

/// Tells a worker, or any service, to stop: first gracefully, then at once.
///
/// Clones are the same signal.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    graceful: CancellationToken,
    hurried: CancellationToken,
}

impl Shutdown {
    /// A signal that only [`Shutdown::begin`] gives.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal given by SIGINT or SIGTERM: the first begins the shutdown, a second hurries it.
    ///
    /// # Errors
    /// Where the signal handlers cannot be installed.
    #[cfg(unix)]
    pub fn on_signals() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let shutdown = Self::new();
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let given = shutdown.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if given.has_begun() {
                    given.hurry();
                }
                given.begin();
            }
        });
        Ok(shutdown)
    }

    /// Begins the shutdown: no new work is taken, running work may end within its time.
    pub fn begin(&self) {
        self.graceful.cancel();
    }

    /// Ends the wait for running work: it is cut off at once.
    pub fn hurry(&self) {
        self.graceful.cancel();
        self.hurried.cancel();
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.graceful.is_cancelled()
    }

    /// Resolves when the shutdown begins.
    pub async fn begun(&self) {
        self.graceful.cancelled().await;
    }

    /// Resolves when running work is to be cut off.
    pub async fn hurried(&self) {
        self.hurried.cancelled().await;
    }
}
