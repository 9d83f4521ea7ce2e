//! The stop signal, passed in from outside.
//!
//! Promises: a signal is never withdrawn, and the immediate one includes the graceful one. It stops nothing itself: the
//! tasks of the worker watch it.

use tokio_util::sync::CancellationToken;

/// The stop signal of a worker or any service: first graceful, then immediate.
///
/// Clones are the same signal.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    graceful: CancellationToken,
    cut_off_requested: CancellationToken,
}

impl Shutdown {
    /// A signal that only [`Shutdown::begin`] sends.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal that begins when the token is cancelled, so that a service and its workers have one shutdown.
    /// [`Shutdown::begin`] cancels the token, too, and so does a worker that ends because a part of it has panicked. If
    /// they must not, pass a [`child_token`](CancellationToken::child_token).
    ///
    /// ```no_run
    /// # use postrider::{Shutdown, Worker};
    /// # async fn example(worker: Worker<()>, serve: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let stop = CancellationToken::new();
    /// let shutdown = Shutdown::from_token(stop.clone());
    /// // `serve` is the server of the service. It ends once `stop` is cancelled.
    /// let (summary, ()) = tokio::join!(worker.run(shutdown), serve);
    /// println!("{} jobs were cut off", summary?.abandoned);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn from_token(token: CancellationToken) -> Self {
        Self { graceful: token, cut_off_requested: CancellationToken::new() }
    }

    /// A signal sent by SIGINT, SIGTERM or SIGHUP (the terminal is gone). The first one begins the shutdown, a second
    /// one cuts running attempts off. SIGHUP stays ignored if it was, as under `nohup`.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    #[cfg(unix)]
    pub fn on_signals() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let shutdown = Self::new();
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut hang_up = if is_ignored(HANG_UP) { None } else { Some(signal(SignalKind::hangup())?) };
        let given = shutdown.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = async { hang_up.as_mut()?.recv().await }, if hang_up.is_some() => {}
                }
                if given.has_begun() {
                    given.cut_off();
                }
                given.begin();
            }
        });
        Ok(shutdown)
    }

    /// Begins the shutdown: no new work is taken, running work may finish within its time.
    pub fn begin(&self) {
        self.graceful.cancel();
    }

    /// Cuts running work off now.
    pub fn cut_off(&self) {
        self.graceful.cancel();
        self.cut_off_requested.cancel();
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
    pub async fn cut_off_requested(&self) {
        self.cut_off_requested.cancelled().await;
    }
}

/// The number of SIGHUP.
#[cfg(unix)]
const HANG_UP: u32 = 1;

/// Whether the process was started with the signal ignored. No, if the system does not tell.
#[cfg(unix)]
fn is_ignored(number: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_its_signal_are_one_and_a_child_stops_only_itself() {
        let token = CancellationToken::new();
        let (shutdown, child) = (Shutdown::from_token(token.clone()), Shutdown::from_token(token.child_token()));
        child.begin();
        assert!(child.has_begun() && !shutdown.has_begun());
        token.cancel();
        assert!(shutdown.has_begun());
        let begun = Shutdown::from_token(CancellationToken::new());
        begun.begin();
        assert!(begun.has_begun() && !begun.cut_off_requested.is_cancelled());
    }
}
