//! Starting claimed jobs, each as a task with a span of its own, and stopping them.

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
use super::outcome::{Ended, Outcome};
use super::registry::{Handler, Registry};
use super::shared::Shared;
use crate::store::claim::ClaimedJob;
use crate::store::finish::Fence;

/// How long after its grace a handler is taken for one that blocks its thread.
const BLOCKED_AFTER: Duration = Duration::from_secs(5);

pub(super) struct Executor<S> {
    shared: Arc<Shared>,
    registry: Registry<S>,
    state: Arc<S>,
    finisher: mpsc::Sender<Ended>,
    abandoned: CancellationToken,
    /// Attempts that the shutdown cut off.
    cut_off: AtomicU64,
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
        Self { shared, registry, state, finisher, abandoned, cut_off: AtomicU64::new(0) }
    }

    /// Starts a claimed job. `claimed_by` is the worker id that the claim was made under.
    pub fn start(self: &Arc<Self>, queue: usize, job: ClaimedJob, claimed_by: Uuid) {
        let Some((handler, held)) = self.hold(queue, &job, claimed_by) else { return };
        self.shared.metrics.claimed.increment();
        let span = tracing::info_span!(
            parent: None, "attempt", job_id = job.id, kind = handler.kind, attempt = job.attempt
        );
        let attempt = Arc::clone(self).attempt(handler, held, job).instrument(span);
        tokio::spawn(self.abandoned.clone().run_until_cancelled_owned(attempt));
    }

    /// Returns a claimed job without having started it.
    pub async fn give_back(&self, queue: usize, job: &ClaimedJob, claimed_by: Uuid) {
        if let Some((_, held)) = self.hold(queue, job, claimed_by) {
            self.end(held, Outcome::GivenBack).await;
        }
    }

    /// Takes a slot for a claimed job. None where its handler still runs from an earlier claim.
    fn hold(&self, queue: usize, job: &ClaimedJob, claimed_by: Uuid) -> Option<(Arc<Handler<S>>, Arc<Held>)> {
        let Some(handler) = self.registry.get(&job.kind).map(Arc::clone) else {
            // A claim asks only for the kinds of the registry.
            tracing::error!(job_id = job.id, kind = job.kind, "claimed a job of an unknown kind");
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
        self.shared.slots.take(queue);
        self.shared.metrics.in_flight.increment();
        Some((handler, held))
    }

    async fn attempt(self: Arc<Self>, handler: Arc<Handler<S>>, held: Arc<Held>, job: ClaimedJob) {
        let outcome = if job.cancel_requested {
            Outcome::Cancelled { reason: None }
        } else {
            let context = Context {
                job_id: held.id,
                kind: held.kind,
                queue: Arc::clone(&self.shared.settings.queues[held.queue].name),
                attempt: u32::try_from(held.attempt).unwrap_or(1),
                max_attempts: u32::try_from(held.max_attempts).unwrap_or(1),
                worker_id: held.fence().worker,
                cancelled: held.cancel.clone(),
                database: self.shared.database.clone(),
                state: Arc::clone(&self.state),
            };
            let start = || handler.start(&job.args, context);
            let policy = &self.shared.settings.retry_policy;
            attempt::run(&held, held.timeout, policy, handler.retry_after, start).await
        };
        self.end(held, outcome).await;
    }

    /// Hands the outcome to the finisher, and only then frees the slot, so that a finisher that
    /// lags behind the database holds up new claims.
    async fn end(&self, held: Arc<Held>, outcome: Outcome) {
        if !held.end_once() {
            return;
        }
        let queue = held.queue;
        if matches!(outcome, Outcome::GivenBack) && held.stop_reason() == Some(StopReason::ShuttingDown) {
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
        self.shared.metrics.in_flight.decrement();
        self.shared.slots.give_back(queue);
    }

    /// Stops all jobs that still run and waits for their handlers to return or be dropped.
    /// Answers with how many did not end by themselves. A handler that blocks its thread is given up.
    pub async fn cut_off(&self) -> u64 {
        let running: Vec<_> = self.shared.held.all().into_iter().filter(|held| !held.has_ended()).collect();
        for held in &running {
            held.stop(StopReason::ShuttingDown);
        }
        let margin = Duration::from_millis(500);
        let _ = tokio::time::timeout(CANCEL_GRACE + margin, self.drained()).await;
        for held in &running {
            if !held.has_ended() {
                tracing::error!(job_id = held.id, kind = held.kind, "handler ignores cancellation; given up");
                self.end(Arc::clone(held), attempt::given_up(held, &self.shared.settings.retry_policy)).await;
            }
        }
        self.cut_off.load(Ordering::Acquire)
    }

    /// Resolves when no handler runs.
    pub async fn drained(&self) {
        while !self.shared.slots.all_free() {
            self.shared.slots.freed().await;
        }
    }

    /// Gives up handlers that block their thread although they were asked to stop, so that they do
    /// not cost a slot for ever.
    pub async fn give_up_blocked(&self) {
        for held in self.shared.held.all() {
            if held.is_overdue(CANCEL_GRACE) {
                held.stop(StopReason::TimedOut);
            }
            let stopped_long_ago = held.stopped_at().is_some_and(|at| at.elapsed() > CANCEL_GRACE + BLOCKED_AFTER);
            if stopped_long_ago && !held.has_ended() {
                tracing::error!(
                    job_id = held.id,
                    kind = held.kind,
                    "handler ignores cancellation and blocks its thread; its slot is freed, its job recorded as given up"
                );
                let outcome = attempt::given_up(&held, &self.shared.settings.retry_policy);
                self.end(held, outcome).await;
            }
        }
    }
}
