//! Handlers of several jobs at once.
//!
//! The jobs of a batch are attempts like others. Each has a slot, and waits here until its batch is full or the first
//! job of the batch has waited long enough. Then a task runs the handler, and each attempt gets its own outcome.
//!
//! Promises: a job is in one batch. An attempt that was cancelled while it waited is not in it. A batch whose attempts
//! are all gone is dropped at its next `.await`. Each attempt gets an outcome, also after a panic or a wrong number of
//! outcomes.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::Instrument;

use crate::job::CheckedJson;
use crate::postgres::finished;
use crate::worker::JobError;
use crate::worker::execute::panic_trace;

/// The most jobs in a batch.
pub(in crate::worker) const MAX_BATCH: usize = 1_000;
/// The longest wait for a batch to fill.
pub(in crate::worker) const MAX_BATCH_WAIT: Duration = Duration::from_mins(1);

type HandlerResult = Result<Option<CheckedJson>, JobError>;
type Running = Pin<Box<dyn Future<Output = Vec<HandlerResult>> + Send>>;
type Start<J> = dyn Fn(Vec<J>) -> Running + Send + Sync;

/// How the handler ended for one of its jobs.
enum BatchEnding {
    Returned(HandlerResult),
    Panicked { text: String, trace: Option<String> },
}

/// A job, and where its attempt waits.
type Waiting<J> = (J, oneshot::Sender<BatchEnding>);

/// The batches of one kind.
pub(super) struct Batches<J> {
    kind: &'static str,
    max: usize,
    wait: Duration,
    start: Box<Start<J>>,
    open: Mutex<Open<J>>,
}

/// The batch that takes the next job.
struct Open<J> {
    number: u64,
    jobs: Vec<Waiting<J>>,
}

impl<J: Send + 'static> Batches<J> {
    pub fn new(
        kind: &'static str,
        max: usize,
        wait: Duration,
        start: impl Fn(Vec<J>) -> Running + Send + Sync + 'static,
    ) -> Arc<Self> {
        let open = Mutex::new(Open { number: 0, jobs: Vec::new() });
        Arc::new(Self { kind, max, wait, start: Box::new(start), open })
    }

    /// Adds a job to the open batch. Resolves with its outcome.
    pub fn join(self: &Arc<Self>, job: J) -> impl Future<Output = HandlerResult> + Send + use<J> {
        let (sender, ended) = oneshot::channel();
        self.add((job, sender));
        async move {
            match ended.await {
                Ok(BatchEnding::Returned(outcome)) => outcome,
                Ok(BatchEnding::Panicked { text, trace }) => {
                    panic_trace::set(trace);
                    resume_unwind(Box::new(text))
                }
                Err(_) => Err(JobError::retry("its batch ended without an outcome")),
            }
        }
    }

    fn add(self: &Arc<Self>, job: Waiting<J>) {
        let mut open = self.open.lock();
        open.jobs.push(job);
        if open.jobs.len() >= self.max {
            tokio::spawn(Arc::clone(self).run(open.take()));
        } else if open.jobs.len() == 1 {
            tokio::spawn(Arc::clone(self).run_after_wait(open.number));
        }
    }

    /// Runs the batch of this number after the wait, unless it was full before.
    async fn run_after_wait(self: Arc<Self>, number: u64) {
        tokio::time::sleep(self.wait).await;
        let jobs = {
            let mut open = self.open.lock();
            if open.number != number {
                return;
            }
            open.take()
        };
        self.run(jobs).await;
    }

    async fn run(self: Arc<Self>, jobs: Vec<Waiting<J>>) {
        let (jobs, mut attempts): (Vec<J>, Vec<_>) =
            jobs.into_iter().filter(|(_, attempt)| !attempt.is_closed()).unzip();
        if attempts.is_empty() {
            return;
        }
        let span = tracing::info_span!(parent: None, "batch", kind = self.kind, jobs = attempts.len());
        // Around all of the handler: its start, its polls and its drop may panic.
        let handler = AssertUnwindSafe(async { finished((self.start)(jobs)).await }).catch_unwind();
        let ended = tokio::select! {
            ended = panic_trace::in_attempt(handler).instrument(span) => ended,
            _ = join_all(attempts.iter_mut().map(oneshot::Sender::closed)) => return,
        };
        let trace = panic_trace::take();
        match ended {
            Ok(outcomes) if outcomes.len() == attempts.len() => {
                for (attempt, outcome) in attempts.into_iter().zip(outcomes) {
                    let _ = attempt.send(BatchEnding::Returned(outcome));
                }
            }
            Ok(outcomes) => {
                let text =
                    format!("the handler returned {} outcomes for a batch of {} jobs", outcomes.len(), attempts.len());
                for attempt in attempts {
                    let _ = attempt.send(BatchEnding::Returned(Err(JobError::retry(text.clone()))));
                }
            }
            Err(panic) => {
                let text = panic_trace::payload_text(panic);
                for attempt in attempts {
                    let _ = attempt.send(BatchEnding::Panicked { text: text.clone(), trace: trace.clone() });
                }
            }
        }
    }
}

impl<J> Open<J> {
    /// Takes the jobs out and opens the next batch.
    fn take(&mut self) -> Vec<Waiting<J>> {
        self.number += 1;
        std::mem::take(&mut self.jobs)
    }
}
