//! Starts claimed jobs, each attempt in a span of its own, and stops them.
//!
//! A task runs one attempt after the other while its queue has buffered jobs, so that short jobs do not cost a task
//! each.
//!
//! Promises: an attempt has one outcome, even if its handler was abandoned and ends later. Its slot is freed after the
//! finisher has accepted the outcome, so that waiting outcomes limit claims. Nothing is recorded here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::observe::Event;
use crate::store::claim::{ClaimedJob, StartOrder};
use crate::worker::Shutdown;
use crate::worker::context::Context;
use crate::worker::execute::args_loader::{Args, ArgsRequests, ReadArgs};
use crate::worker::execute::attempt::{self, CANCEL_GRACE};
use crate::worker::execute::slots::Slots;
use crate::worker::finish::report::report_stale;
use crate::worker::handler::Handler;
use crate::worker::handles::WorkerHandles;
use crate::worker::in_flight::{InFlightJob, StopReason};
use crate::worker::outcome::{EndedAttempt, Outcome};
use crate::worker::registry::Registry;

/// How long after its grace a handler counts as blocking its thread.
const BLOCKED_AFTER: Duration = Duration::from_secs(5);

pub(in crate::worker) struct Executor<S> {
    pub slots: Slots<Startable<S>>,
    pub handles: Arc<WorkerHandles>,
    pub args: ArgsRequests,
    registry: Registry<S>,
    state: Arc<S>,
    finisher: mpsc::Sender<EndedAttempt>,
    shutdown: Shutdown,
    abandoned: CancellationToken,
    /// Attempts that the shutdown cut off.
    cut_off: AtomicU64,
}

/// A claimed job with its handler.
pub(in crate::worker) struct Startable<S> {
    pub job: Arc<InFlightJob>,
    handler: Arc<Handler<S>>,
    args: Args,
}

impl<S: Send + Sync + 'static> Executor<S> {
    /// Once `abandoned` is cancelled, handlers are dropped at their next `.await` and nothing is recorded.
    pub fn new(
        handles: Arc<WorkerHandles>,
        args: ArgsRequests,
        registry: Registry<S>,
        state: Arc<S>,
        finisher: mpsc::Sender<EndedAttempt>,
        shutdown: Shutdown,
        abandoned: CancellationToken,
    ) -> Self {
        let slots = Slots::new(&handles.config.queues);
        Self { slots, handles, args, registry, state, finisher, shutdown, abandoned, cut_off: AtomicU64::new(0) }
    }

    /// Starts a claimed job in a free slot, or buffers it. `claimed_by` is the worker id of the claim.
    pub fn admit(self: &Arc<Self>, queue: usize, job: ClaimedJob, claimed_by: Uuid) {
        let order = job.order();
        if let Some(startable) = self.put_in_flight(queue, job, claimed_by) {
            self.start_or_buffer(queue, order, startable);
        }
    }

    /// Starts a job in a free slot, or buffers it.
    pub fn start_or_buffer(self: &Arc<Self>, queue: usize, order: StartOrder, startable: Startable<S>) {
        self.handles.metrics.claimed.increment();
        if let Some(startable) = self.slots.take_slot_or_buffer(queue, order, startable) {
            self.spawn(queue, startable);
        }
    }

    /// Starts a job in a slot that was taken for it.
    fn spawn(self: &Arc<Self>, queue: usize, startable: Startable<S>) {
        let abandoned = self.abandoned.clone();
        tokio::spawn(abandoned.run_until_cancelled_owned(Arc::clone(self).run_slot(queue, startable)));
    }

    /// Releases a claimed job without starting it. It is due again after `delay`.
    pub async fn release(&self, queue: usize, job: ClaimedJob, claimed_by: Uuid, delay: Duration) {
        if let Some(startable) = self.put_in_flight(queue, job, claimed_by) {
            self.end(startable.job, Outcome::Released { delay }).await;
        }
    }

    /// Releases the buffered jobs of a queue.
    pub async fn release_buffered(&self, queue: usize) {
        for startable in self.slots.take_buffered(queue) {
            self.end(startable.job, Outcome::RELEASED).await;
        }
    }

    /// Puts a claimed job in flight. None if its handler still runs from an earlier claim.
    pub fn put_in_flight(&self, queue: usize, claimed: ClaimedJob, claimed_by: Uuid) -> Option<Startable<S>> {
        let Some(handler) = self.handles.kinds.get(claimed.kind).and_then(|kind| self.registry.get(kind)) else {
            // A claim asks only for the kinds of the registry.
            tracing::error!(job_id = claimed.id, "claimed a job of an unknown kind");
            return None;
        };
        let new = handler.of_claimed(&claimed, claimed_by, queue, &self.handles.config);
        let Some(job) = self.handles.in_flight.insert(&new) else {
            tracing::warn!(job_id = claimed.id, "the claim of a running job was lost by the database; its run goes on");
            return None;
        };
        if claimed.cancel_requested {
            job.stop(StopReason::CancelRequested);
        }
        Some(Startable { job, handler: Arc::clone(handler), args: self.args.claimed(claimed.args) })
    }

    /// Runs a job in its slot, then the buffered ones.
    async fn run_slot(self: Arc<Self>, queue: usize, first: Startable<S>) {
        let mut next = Some(first);
        while let Some(Startable { job, handler, args }) = next {
            let span = tracing::info_span!(
                parent: None, "attempt", job_id = job.id, kind = job.kind, attempt = job.attempt
            );
            let keeps_slot = self.run_attempt(handler, job, args).instrument(span).await;
            if !keeps_slot {
                return;
            }
            next = self.slots.free_slot(queue);
        }
    }

    /// Runs one attempt. Returns whether the slot is still its own.
    async fn run_attempt(&self, handler: Arc<Handler<S>>, job: Arc<InFlightJob>, args: Args) -> bool {
        // Counts as held until the attempt has ended: the decoded args are about as large.
        let ReadArgs { text, held: _held } = match self.read(&job, args).await {
            Some(Ok(read)) => read,
            Some(Err(problem)) => {
                let unreadable = attempt::args_unreadable(&job, &self.handles.config.retry_policy, &problem);
                return self.end(job, unreadable).await;
            }
            None => {
                let stopped = attempt::not_begun(job.stop_reason(), self.handles.lease.is_fresh());
                return self.end(job, stopped.unwrap_or(Outcome::RELEASED)).await;
            }
        };
        if let Some(outcome) = attempt::not_begun(job.stop_reason(), self.handles.lease.is_fresh()) {
            return self.end(job, outcome).await;
        }
        self.handles.metrics.running.increment();
        job.start(text.len());
        self.handles.events.send(|| Event::AttemptStarted {
            job_id: job.id,
            kind: job.kind,
            attempt: job.attempt.unsigned_abs(),
        });
        let queue = &self.handles.config.queues[job.queue].name;
        let context = Context::new(&self.handles, &job, queue, &self.state);
        let retry_after = handler.retry_after;
        let start = || self.registry.start(handler, text, context);
        let policy = &self.handles.config.retry_policy;
        let outcome = attempt::run(&job, job.timeout, policy, retry_after, start).await;
        self.end(job, outcome).await
    }

    /// The args of a job that has a slot, or why the database cannot read them. None if it is asked to stop before they
    /// are read, or a shutdown begins.
    async fn read(&self, job: &Arc<InFlightJob>, args: Args) -> Option<Result<ReadArgs, String>> {
        match args {
            Args::Read(read) => Some(Ok(read)),
            Args::Stored(_unread) => tokio::select! {
                biased;
                () = job.cancel.cancelled() => None,
                () = self.shutdown.begun() => None,
                read = self.args.read(job) => read,
            },
        }
    }

    /// Hands the outcome to the finisher before the slot is freed, so that a slow finisher holds up new claims.
    /// Returns false if the attempt had ended before.
    pub async fn end(&self, job: Arc<InFlightJob>, outcome: Outcome) -> bool {
        if !job.end_once() {
            return false;
        }
        if job.has_started() {
            self.handles.metrics.running.decrement();
        }
        let is_cut_off = job.has_started() && job.stop_reason() == Some(StopReason::ShuttingDown);
        if is_cut_off && matches!(outcome, Outcome::Released { .. }) {
            self.cut_off.fetch_add(1, Ordering::AcqRel);
        }
        if job.stop_reason() == Some(StopReason::Lost) {
            report_stale(&self.handles, &job, false);
            self.handles.in_flight.release(&job);
        } else if self.finisher.send(EndedAttempt { job, outcome, refusals: 0 }).await.is_err() {
            tracing::error!("an attempt ended after the shutdown was over");
        }
        true
    }

    /// Stops all jobs and waits for their handlers to return or be dropped. Returns how many handlers did not end by
    /// themselves. A handler that blocks its thread is abandoned.
    ///
    /// Also stops the jobs that have a slot and are about to start: their handlers then never do.
    pub async fn cut_off(self: &Arc<Self>) -> u64 {
        let unended: Vec<_> = self.handles.in_flight.all().into_iter().filter(|job| !job.has_ended()).collect();
        for job in &unended {
            job.stop(StopReason::ShuttingDown);
        }
        let margin = Duration::from_millis(500);
        let _ = tokio::time::timeout(CANCEL_GRACE + margin, self.none_running()).await;
        for job in &unended {
            if job.is_running() {
                tracing::error!(
                    job_id = job.id,
                    kind = job.kind,
                    "handler ignores cancellation; its attempt is abandoned"
                );
                self.abandon(job).await;
            }
        }
        self.cut_off.load(Ordering::Acquire)
    }

    /// Resolves when no handler runs.
    pub async fn none_running(&self) {
        self.slots.none_running().await;
    }

    /// Records the outcome of a handler that does not end, and passes its slot on.
    async fn abandon(self: &Arc<Self>, job: &Arc<InFlightJob>) {
        let outcome = attempt::unresponsive(job, &self.handles.config.retry_policy);
        if self.end(Arc::clone(job), outcome).await
            && let Some(next) = self.slots.free_slot(job.queue)
        {
            self.spawn(job.queue, next);
        }
    }

    /// Abandons handlers that block their thread although they were asked to stop, so that they do not hold a slot
    /// for ever.
    pub async fn abandon_blocked(self: &Arc<Self>) {
        for job in self.handles.in_flight.all() {
            if job.is_overdue(CANCEL_GRACE) {
                job.stop(StopReason::TimedOut);
            }
            let stopped_long_ago = job.stopped_at().is_some_and(|at| at.elapsed() > CANCEL_GRACE + BLOCKED_AFTER);
            if stopped_long_ago && job.is_running() {
                tracing::error!(
                    job_id = job.id,
                    kind = job.kind,
                    "handler ignores cancellation and blocks its thread; its slot is freed and its attempt abandoned"
                );
                self.abandon(&job).await;
            }
        }
    }
}
