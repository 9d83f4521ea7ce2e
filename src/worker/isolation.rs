//! Jobs that more than one worker in a row has died with: each runs alone.
//!
//! So its neighbours are spared, and a job that kills its worker is told from one that was merely
//! there: only what is lost alone counts towards being discarded (`sql/queries/rescue_worker.sql`).
//!
//! Promises: the worker takes no other job while such a one runs, for half a minute at most; a worker
//! that has other work leaves it to one that has none, for ten minutes at most. It never waits for
//! ever, lest a busy fleet never runs it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use super::executor::Executor;
use super::outcome::Outcome;
use super::shutdown::Shutdown;
use crate::store::claim::ClaimedJob;

/// How long the worker waits for its other jobs to end.
const EMPTY_WITHIN: Duration = Duration::from_secs(5);
/// How long the job is left alone once it runs: one that kills does so early.
const ALONE_FOR: Duration = Duration::from_secs(30);
/// Lost for longer, it runs beside others where it must.
const DEFERRED_AT_MOST: Duration = Duration::from_mins(10);
/// The shortest time for which it is left to others.
const DEFERRED_FOR: Duration = Duration::from_secs(5);

/// For how long a job that cannot run alone now is left to others. Spread, lest several meet again.
fn deferral() -> Duration {
    DEFERRED_FOR.mul_f64(1.0 + fastrand::f64())
}

impl<S: Send + Sync + 'static> Executor<S> {
    /// Runs the first of these claimed jobs alone, and leaves the rest for later: held, they would not
    /// let it be. To be called by whoever claims, so that meanwhile nobody does. Returns once others
    /// may run again.
    pub async fn isolate(self: &Arc<Self>, suspects: Vec<(usize, ClaimedJob)>, claimed_by: Uuid, shutdown: &Shutdown) {
        let mut suspects = suspects.into_iter();
        let first = suspects.next();
        for (queue, job) in suspects {
            self.give_back(queue, job, claimed_by, deferral()).await;
        }
        // Others are to be told of new jobs meanwhile.
        for queue in 0..self.lanes.count() {
            self.shared.standings.leave(queue);
        }
        if let Some((queue, job)) = first {
            self.run_alone(queue, job, claimed_by, shutdown).await;
        }
    }

    /// Runs a claimed job while nothing else runs.
    async fn run_alone(self: &Arc<Self>, queue: usize, job: ClaimedJob, claimed_by: Uuid, shutdown: &Shutdown) {
        let (order, lost_for) = (job.order(), job.lost_for.unwrap_or_default());
        let Some(ready) = self.hold(queue, job, claimed_by) else { return };
        for queue in 0..self.lanes.count() {
            self.give_back_ready(queue).await;
        }
        let is_alone = tokio::select! {
            () = shutdown.begun() => {
                self.end(ready.held, Outcome::GIVEN_BACK).await;
                return;
            }
            alone = timeout(EMPTY_WITHIN, self.shared.held.only(ready.held.id)) => alone.is_ok(),
        };
        if !is_alone && lost_for < DEFERRED_AT_MOST {
            self.end(ready.held, Outcome::GivenBack { delay: deferral() }).await;
            return;
        }
        tracing::info!(
            job_id = ready.held.id,
            kind = ready.held.kind,
            attempt = ready.held.attempt,
            is_alone,
            "job runs alone: more than one worker has died with it"
        );
        self.begin(queue, order, ready);
        if is_alone {
            tokio::select! {
                () = shutdown.begun() => {}
                _ = timeout(ALONE_FOR, self.drained()) => {}
            }
        }
    }
}
