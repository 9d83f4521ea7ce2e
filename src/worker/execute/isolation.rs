//! Isolation: runs a job alone after more than one worker in a row has died while it ran.
//!
//! It protects the other jobs. It also distinguishes a job that kills its worker from one that only ran beside it: only
//! a crash while the job runs alone counts towards discarding it (`sql/queries/worker/rescue_worker.sql`).
//!
//! Promises: the worker takes no other job while an isolated one runs, for half a minute at most. A worker with other
//! work leaves the job to an idle one, for ten minutes at most, so that a busy fleet runs it in the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use crate::store::claim::ClaimedJob;
use crate::worker::execute::executor::Executor;
use crate::worker::outcome::Outcome;
use crate::worker::shutdown::Shutdown;

/// How long the worker waits for its other jobs to end.
const EMPTY_WITHIN: Duration = Duration::from_secs(5);
/// How long the job is alone once it runs: a job that kills its worker does so early.
const ALONE_FOR: Duration = Duration::from_secs(30);
/// A job that has waited for longer since its crash runs beside others if it must.
const POSTPONED_AT_MOST: Duration = Duration::from_mins(10);
/// The shortest time for which it is left to peers.
const POSTPONED_FOR: Duration = Duration::from_secs(5);

/// How long a job that cannot run alone now is left to peers. Random, so that several do not meet again.
fn postponement() -> Duration {
    POSTPONED_FOR.mul_f64(1.0 + fastrand::f64())
}

impl<S: Send + Sync + 'static> Executor<S> {
    /// Runs the first of these claimed jobs alone and releases the others for later: in flight, they would keep it
    /// from being alone. The caller is the one that claims, so nothing is claimed meanwhile. Returns once other jobs
    /// may run again.
    pub async fn isolate(self: &Arc<Self>, suspects: Vec<(usize, ClaimedJob)>, claimed_by: Uuid, shutdown: &Shutdown) {
        let mut suspects = suspects.into_iter();
        let first = suspects.next();
        for (queue, job) in suspects {
            self.release(queue, job, claimed_by, postponement()).await;
        }
        // Meanwhile peers should be notified of new jobs.
        for queue in 0..self.slots.count() {
            self.handles.idle_locks.release(queue);
        }
        if let Some((queue, job)) = first {
            self.run_alone(queue, job, claimed_by, shutdown).await;
        }
    }

    /// Runs a claimed job while no other job runs.
    async fn run_alone(self: &Arc<Self>, queue: usize, job: ClaimedJob, claimed_by: Uuid, shutdown: &Shutdown) {
        let (order, since_crash) = (job.order(), job.since_crash.unwrap_or_default());
        let Some(startable) = self.put_in_flight(queue, job, claimed_by) else { return };
        for queue in 0..self.slots.count() {
            self.release_buffered(queue).await;
        }
        let is_alone = tokio::select! {
            () = shutdown.begun() => {
                self.end(startable.job, Outcome::RELEASED).await;
                return;
            }
            alone = timeout(EMPTY_WITHIN, self.handles.in_flight.wait_until_alone(startable.job.key)) => alone.is_ok(),
        };
        if !is_alone && since_crash < POSTPONED_AT_MOST {
            self.end(startable.job, Outcome::Released { delay: postponement() }).await;
            return;
        }
        tracing::info!(
            job_id = startable.job.id,
            kind = startable.job.kind,
            attempt = startable.job.attempt,
            is_alone,
            "job runs alone: more than one worker has died while running it"
        );
        self.start_or_buffer(queue, order, startable);
        if is_alone {
            tokio::select! {
                () = shutdown.begun() => {}
                _ = timeout(ALONE_FOR, self.none_running()) => {}
            }
        }
    }
}
