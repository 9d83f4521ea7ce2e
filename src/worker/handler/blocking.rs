//! Handlers that block their thread: synchronous libraries, and work for the processor.
//!
//! Promises: no more threads than configured, however many jobs run. The runtime's own threads are never blocked, so
//! heartbeats and other jobs continue. The process can end while such a thread still runs.
//!
//! Not `tokio::task::spawn_blocking`: the end of a runtime waits for its blocking tasks, and the handlers of all queues
//! and libraries share its threads.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use crate::worker::JobError;
use crate::worker::execute::panic_trace;

/// The threads of a worker for such handlers.
pub(in crate::worker) struct BlockingThreads {
    free: Arc<Semaphore>,
}

impl Default for BlockingThreads {
    /// Without a thread until [`Self::allow`].
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(0)) }
    }
}

impl BlockingThreads {
    /// Allows this many threads.
    pub fn allow(&self, threads: usize) {
        self.free.add_permits(threads);
    }

    /// Runs `work` on a thread, once one is free. If this future is dropped, `work` runs on, and its result is lost.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, JobError> {
        // Never closed. Held by the thread, which may outlast the attempt.
        let Ok(permit) = Arc::clone(&self.free).acquire_owned().await else {
            return Err(JobError::retry("the worker has no threads for blocking handlers"));
        };
        let (sender, result) = oneshot::channel();
        let runtime = Handle::current();
        let body = move || {
            // For `Handle::current().block_on(…)` in the handler.
            let _runtime = runtime.enter();
            let ended = panic_trace::in_attempt_sync(|| catch_unwind(AssertUnwindSafe(work)));
            // Before the result, so that the next attempt finds the thread free.
            drop(permit);
            let _ = sender.send(ended.map_err(|panic| (panic, panic_trace::take())));
        };
        thread::Builder::new()
            .name("postrider-blocking".to_owned())
            .spawn(body)
            .map_err(|error| JobError::retry(format!("no thread could be started: {error}")))?;
        match result.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err((panic, trace))) => {
                panic_trace::set(trace);
                resume_unwind(panic)
            }
            Err(_) => Err(JobError::retry("the thread of the handler ended without a result")),
        }
    }
}
