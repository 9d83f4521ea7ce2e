//! Reads large args when their jobs have a slot and there is memory for them.
//!
//! Promises: one statement at a time, over one connection of the pool. It reads args only of attempts that still own
//! their jobs. It tries again after a database error. Args that the database cannot read (a damaged row) hold up no
//! others: their attempt fails. A request ends when its attempt is asked to stop, or with the shutdown: then the job is
//! released.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::postgres::{Reconnect, within};
use crate::store::claim::args_of;
use crate::store::finish::Fence;
use crate::worker::adaptive_batch::AdaptiveBatch;
use crate::worker::execute::args_memory::{ArgsMemory, HeldBytes, Unread};
use crate::worker::handles::WorkerHandles;
use crate::worker::in_flight::InFlightJob;

/// The most requests that wait for the loader. More wait in their slots.
const MAX_WAITING: usize = 1_000;
/// The most args in one statement: 32 MiB, if all are as large as possible.
const MAX_BATCH: usize = 16;
/// The server cancels the statement after 5 s.
const READ_TIMEOUT: Duration = Duration::from_secs(7);

/// The args of a claimed job.
pub(in crate::worker) enum Args {
    /// They came with the claim.
    Read(ReadArgs),
    /// They are still in the database.
    Stored(Unread),
}

/// Args in memory.
pub(in crate::worker) struct ReadArgs {
    pub text: String,
    pub held: HeldBytes,
}

/// An attempt that waits for its args.
struct Request {
    job: Arc<InFlightJob>,
    answer: oneshot::Sender<Result<ReadArgs, String>>,
}

/// Asks the loader for args.
pub(in crate::worker) struct ArgsRequests {
    pub memory: Arc<ArgsMemory>,
    requests: mpsc::Sender<Request>,
}

pub(in crate::worker) struct ArgsLoader {
    handles: Arc<WorkerHandles>,
    memory: Arc<ArgsMemory>,
    requests: mpsc::Receiver<Request>,
    /// Taken from the channel and not answered yet.
    pending: VecDeque<Request>,
    batch: AdaptiveBatch,
    reconnect: Reconnect,
    has_reported: bool,
}

/// A loader, and how to ask it.
pub(in crate::worker) fn args_loader(handles: &Arc<WorkerHandles>) -> (ArgsRequests, ArgsLoader) {
    let memory = ArgsMemory::new(handles.config.args_memory);
    let (sender, requests) = mpsc::channel(MAX_WAITING);
    let loader = ArgsLoader {
        handles: Arc::clone(handles),
        memory: Arc::clone(&memory),
        requests,
        pending: VecDeque::new(),
        batch: AdaptiveBatch::new(MAX_BATCH),
        reconnect: Reconnect::default(),
        has_reported: false,
    };
    (ArgsRequests { memory, requests: sender }, loader)
}

impl ArgsRequests {
    /// The args as a claim has returned them.
    pub fn claimed(&self, args: Option<String>) -> Args {
        match args {
            Some(text) => Args::Read(ReadArgs { held: self.memory.hold(text.len()), text }),
            None => Args::Stored(self.memory.expect()),
        }
    }

    /// The args of a job, or why the database cannot read them. None if its attempt does not own it any more.
    pub async fn read(&self, job: &Arc<InFlightJob>) -> Option<Result<ReadArgs, String>> {
        let (answer, read) = oneshot::channel();
        self.requests.send(Request { job: Arc::clone(job), answer }).await.ok()?;
        read.await.ok()
    }
}

impl ArgsLoader {
    pub async fn run(mut self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.load()).await;
    }

    async fn load(&mut self) {
        loop {
            if self.pending.is_empty() {
                let Some(request) = self.requests.recv().await else { return };
                self.pending.push_back(request);
            }
            let reserved = self.reserve().await;
            self.read(reserved).await;
        }
    }

    /// Reserves memory for the next batch: for one job at least.
    async fn reserve(&mut self) -> Vec<HeldBytes> {
        let first = if let Some(first) = self.memory.try_reserve() {
            first
        } else {
            self.report_shortage();
            self.memory.reserve().await
        };
        let mut reserved = vec![first];
        while reserved.len() < self.batch.limit() {
            if self.pending.len() <= reserved.len() {
                let Ok(request) = self.requests.try_recv() else { break };
                self.pending.push_back(request);
            }
            let Some(more) = self.memory.try_reserve() else { break };
            reserved.push(more);
        }
        self.pending.retain(|request| !request.answer.is_closed());
        reserved
    }

    /// Reads the args of as many jobs as there is memory for, and passes them on.
    async fn read(&mut self, reserved: Vec<HeldBytes>) {
        let batch = reserved.len().min(self.pending.len());
        let fences: Vec<Fence> = self.pending.iter().take(batch).map(|request| request.job.fence()).collect();
        if fences.is_empty() {
            return;
        }
        match within(READ_TIMEOUT, args_of(&self.handles.database, &fences)).await {
            Ok(mut texts) => {
                self.batch.grow();
                self.reconnect.reset();
                for ((request, mut held), fence) in self.pending.drain(..batch).zip(reserved).zip(fences) {
                    // Without an answer, the job is not the attempt's any more.
                    if let Some(text) = texts.remove(&fence.id) {
                        held.shrink_to(text.len());
                        let _ = request.answer.send(Ok(ReadArgs { text, held }));
                    }
                }
            }
            // Smaller batches find the job whose args are the reason.
            Err(error) if error.is_refusal() && !error.is_about_the_database() && !error.is_cut_short() => {
                self.batch.shrink(batch);
                if batch == 1
                    && let Some(request) = self.pending.pop_front()
                {
                    let _ = request.answer.send(Err(error.to_string()));
                }
            }
            Err(error) => {
                tracing::warn!(%error, jobs = batch, "args could not be read; trying again");
                if error.is_cut_short() {
                    self.batch.shrink(batch);
                }
                drop(reserved);
                tokio::time::sleep(self.reconnect.next_delay()).await;
            }
        }
    }

    fn report_shortage(&mut self) {
        if !std::mem::replace(&mut self.has_reported, true) {
            tracing::warn!(
                args_memory = self.handles.config.args_memory,
                "claimed jobs wait for memory: their args need more than args_memory bytes (reported once)"
            );
        }
    }
}
