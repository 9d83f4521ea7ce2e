//! Starting claimed jobs, each attempt with a span of its own, and stopping them.
//!
//! A task runs one attempt after the other for as long as its queue has jobs ready, so that jobs
//! which take no time cost no task each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::attempt::{self, CANCEL_GRACE};
use super::context::Context;
use super::held::{Held, NewHeld, StopReason};
use super::lanes::Lanes;
use super::outcome::{Ended, Outcome};
use super::registry::{Handler, Registry};
use super::shared::Shared;
use crate::store::claim::{ClaimedJob, StartOrder};
use crate::store::finish::Fence;

/// How long after its grace a handler is taken for one that blocks its thread.
const BLOCKED_AFTER: Duration = Duration::from_secs(5);

pub(super) struct Executor<S> {
    pub lanes: Lanes<Ready<S>>,
    pub shared: Arc<Shared>,
    registry: Registry<S>,
    state: Arc<S>,
    finisher: mpsc::Sender<Ended>,
    abandoned: CancellationToken,
    /// Attempts that the shutdown cut off.
    cut_off: AtomicU64,
}

/// A claimed job, ready to be started.
pub(super) struct Ready<S> {
    pub held: Arc<Held>,
    handler: Arc<Handler<S>>,
    args: String,
}

impl<S: Send + Sync + 'static> Executor<S> {
    /// Once `abandoned` is cancelled, handlers are dropped where they stand and nothing is recorded.
    pub fn new(
        shared: Arc<Shared>,
        registry: Registry<S>,
        state: Arc<S>,
        finisher: mpsc::Sender<Ended>,
        abandoned: CancellationToken,
    ) -> Self {
        let lanes = Lanes::new(&shared.settings.queues);
        Self { lanes, shared, registry, state, finisher, abandoned, cut_off: AtomicU64::new(0) }
    }

    /// Takes a claimed job: starts it where a slot is free, and keeps it ready where none is.
    /// `claimed_by` is the worker id that the claim was made under.
    pub fn take(self: &Arc<Self>, queue: usize, job: ClaimedJob, claimed_by: Uuid) {
        let order = job.order();
        if let Some(ready) = self.hold(queue, job, claimed_by) {
            self.begin(queue, order, ready);
        }
    }

    /// Starts a job where a slot is free, and keeps it ready where none is.
    pub fn begin(self: &Arc<Self>, queue: usize, order: StartOrder, ready: Ready<S>) {
        self.shared.metrics.claimed.increment();
        if let Some(ready) = self.lanes.put(queue, order, ready) {
            self.start(queue, ready);
        }
    }

    /// Starts a job in a slot that was taken for it.
    fn start(self: &Arc<Self>, queue: usize, ready: Ready<S>) {
        let abandoned = self.abandoned.clone();
        tokio::spawn(abandoned.run_until_cancelled_owned(Arc::clone(self).run(queue, ready)));
    }

    /// Returns a claimed job without having started it, due again after `delay`.
    pub async fn give_back(&self, queue: usize, job: ClaimedJob, claimed_by: Uuid, delay: Duration) {
        if let Some(ready) = self.hold(queue, job, claimed_by) {
            self.end(ready.held, Outcome::GivenBack { delay }).await;
        }
    }

    /// Returns the jobs of a queue that wait for a slot.
    pub async fn give_back_ready(&self, queue: usize) {
        for ready in self.lanes.take_ready(queue) {
            self.end(ready.held, Outcome::GIVEN_BACK).await;
        }
    }

    /// Holds a claimed job. None where its handler still runs from an earlier claim.
    pub fn hold(&self, queue: usize, job: ClaimedJob, claimed_by: Uuid) -> Option<Ready<S>> {
        let Some(handler) = self.shared.kinds.get(job.kind).and_then(|kind| self.registry.get(kind)) else {
            // A claim asks only for the kinds of the registry.
            tracing::error!(job_id = job.id, "claimed a job of an unknown kind");
            return None;
        };
        let new = NewHeld {
            fence: Fence { id: job.id, claim: job.claim, worker: claimed_by },
            kind: handler.kind,
            queue,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            timeout: handler.timeout.or(self.shared.settings.timeout),
        };
        let Some(held) = self.shared.held.hold(&new) else {
            tracing::warn!(job_id = job.id, "the claim of a running job was lost by the database; its run goes on");
            return None;
        };
        if job.cancel_requested {
            held.stop(StopReason::CancelRequested);
        }
        Some(Ready { held, handler: Arc::clone(handler), args: job.args })
    }

    /// Runs a job in the slot that was taken for it, then those that are ready.
    async fn run(self: Arc<Self>, queue: usize, first: Ready<S>) {
        let mut next = Some(first);
        while let Some(Ready { held, handler, args }) = next {
            let span = tracing::info_span!(
                parent: None, "attempt", job_id = held.id, kind = held.kind, attempt = held.attempt
            );
            let held_slot = self.attempt(&handler, held, &args).instrument(span).await;
            if !held_slot {
                return;
            }
            next = self.lanes.next(queue);
        }
    }

    /// Runs one attempt. Answers whether its slot is still its own.
    async fn attempt(&self, handler: &Handler<S>, held: Arc<Held>, args: &str) -> bool {
        self.shared.metrics.in_flight.increment();
        held.start();
        let outcome = if held.stop_reason().is_some() {
            // While it was ready: nobody wants it any more, or it belongs to another worker.
            Outcome::Cancelled { reason: None }
        } else if !self.shared.lease.is_fresh() {
            // The worker was frozen while it was ready: it may belong to another by now.
            Outcome::GIVEN_BACK
        } else {
            let context = Context {
                held: Arc::clone(&held),
                queue: Arc::clone(&self.shared.settings.queues[held.queue].name),
                completed_seconds: self.shared.settings.retention.completed_seconds(),
                database: self.shared.database.clone(),
                state: Arc::clone(&self.state),
            };
            let start = || handler.start(args, context);
            let policy = &self.shared.settings.retry_policy;
            attempt::run(&held, held.timeout, policy, handler.retry_after, start).await
        };
        self.end(held, outcome).await
    }

    /// Hands the outcome to the finisher, before its slot is freed, so that a finisher that lags
    /// behind the database holds up new claims. Answers whether the attempt had not ended before.
    pub async fn end(&self, held: Arc<Held>, outcome: Outcome) -> bool {
        if !held.end_once() {
            return false;
        }
        if held.has_started() {
            self.shared.metrics.in_flight.decrement();
        }
        if matches!(outcome, Outcome::GivenBack { .. }) && held.stop_reason() == Some(StopReason::ShuttingDown) {
            self.cut_off.fetch_add(1, Ordering::AcqRel);
        }
        if held.stop_reason() == Some(StopReason::Lost) {
            // Another attempt owns the job now; whatever this one did is not recorded.
            self.shared.metrics.stale.increment();
            tracing::warn!(
                job_id = held.id,
                kind = held.kind,
                "attempt was given to another worker; its outcome is dropped"
            );
            self.shared.held.release(&held);
        } else if self.finisher.send(Ended { held, outcome }).await.is_err() {
            tracing::error!("an attempt ended after the shutdown was over");
        }
        true
    }

    /// Stops all jobs that still run and waits for their handlers to return or be dropped.
    /// Answers with how many did not end by themselves. A handler that blocks its thread is given up.
    pub async fn cut_off(self: &Arc<Self>) -> u64 {
        let running: Vec<_> = self.shared.held.all().into_iter().filter(|held| held.is_running()).collect();
        for held in &running {
            held.stop(StopReason::ShuttingDown);
        }
        let margin = Duration::from_millis(500);
        let _ = tokio::time::timeout(CANCEL_GRACE + margin, self.drained()).await;
        for held in &running {
            if held.is_running() {
                tracing::error!(job_id = held.id, kind = held.kind, "handler ignores cancellation; given up");
                self.give_up(held).await;
            }
        }
        self.cut_off.load(Ordering::Acquire)
    }

    /// Resolves when no handler runs.
    pub async fn drained(&self) {
        self.lanes.emptied().await;
    }

    /// Records what becomes of a handler that does not end, and passes its slot on.
    async fn give_up(self: &Arc<Self>, held: &Arc<Held>) {
        let outcome = attempt::given_up(held, &self.shared.settings.retry_policy);
        if self.end(Arc::clone(held), outcome).await
            && let Some(next) = self.lanes.next(held.queue)
        {
            self.start(held.queue, next);
        }
    }

    /// Gives up handlers that block their thread although they were asked to stop, so that they do
    /// not cost a slot for ever.
    pub async fn give_up_blocked(self: &Arc<Self>) {
        for held in self.shared.held.all() {
            if held.is_overdue(CANCEL_GRACE) {
                held.stop(StopReason::TimedOut);
            }
            let stopped_long_ago = held.stopped_at().is_some_and(|at| at.elapsed() > CANCEL_GRACE + BLOCKED_AFTER);
            if stopped_long_ago && held.is_running() {
                tracing::error!(
                    job_id = held.id,
                    kind = held.kind,
                    "handler ignores cancellation and blocks its thread; its slot is freed, its job recorded as given up"
                );
                self.give_up(&held).await;
            }
        }
    }
}
