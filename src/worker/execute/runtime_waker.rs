//! Keeps the runtime polling while a handler blocks its thread.
//!
//! One thread of a runtime polls its timers and sockets. If a handler blocks that thread, the others are not woken: no
//! heartbeat, no timeout, no claim, until a task is spawned from outside. So a thread of ours spawns one twice a
//! second, and the runtime thread that runs it polls the rest.
//!
//! It does not help a runtime with a single thread.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::runtime::Handle;

const INTERVAL: Duration = Duration::from_millis(500);

/// Wakes the runtime until it is dropped.
pub(in crate::worker) struct RuntimeWaker {
    _stop: Option<Sender<()>>,
}

impl RuntimeWaker {
    pub fn start() -> Self {
        let (stop, stopped) = channel();
        let runtime = Handle::current();
        let thread = std::thread::Builder::new().name("postrider-waker".to_owned());
        match thread.spawn(move || wake_often(&runtime, &stopped)) {
            Ok(_) => Self { _stop: Some(stop) },
            Err(error) => {
                tracing::warn!(%error, "no thread for the runtime waker: a handler that blocks its thread may stop the worker");
                Self { _stop: None }
            }
        }
    }
}

fn wake_often(runtime: &Handle, stopped: &Receiver<()>) {
    // Nothing is ever sent: the sender is dropped with the worker.
    while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        runtime.spawn(std::future::ready(()));
    }
}
