//! Keeps the runtime attended to while a handler blocks its thread.
//!
//! A runtime leaves its timers and sockets to one of its threads. Where a handler blocks just that
//! one, the others sleep on and nobody looks at either: no heartbeat, no timeout, no claim, until
//! a task comes in from outside. So a thread of our own sends one in, twice a second; whoever is
//! woken by it then attends to the rest. A runtime of one thread it cannot help.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::runtime::Handle;

const INTERVAL: Duration = Duration::from_millis(500);

/// Beats until it is dropped.
pub(super) struct Pulse {
    _stop: Option<Sender<()>>,
}

impl Pulse {
    pub fn start() -> Self {
        let (stop, stopped) = channel();
        let runtime = Handle::current();
        let thread = std::thread::Builder::new().name("postrider-pulse".to_owned());
        match thread.spawn(move || beat(&runtime, &stopped)) {
            Ok(_) => Self { _stop: Some(stop) },
            Err(error) => {
                tracing::warn!(%error, "no thread for the pulse: a handler that blocks its thread may stop the worker");
                Self { _stop: None }
            }
        }
    }
}

fn beat(runtime: &Handle, stopped: &Receiver<()>) {
    // Nothing is ever sent: the sender is dropped with the worker.
    while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        runtime.spawn(std::future::ready(()));
    }
}
