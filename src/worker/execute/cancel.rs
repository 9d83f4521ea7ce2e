//! Cancels running jobs on request, and frees the slots of handlers that do not end.
//!
//! A request is a column of the job's row. The notification only announces that there is one.
//!
//! Promise: no request is lost while no listener is connected, because the column is also read every 5 s. It asks
//! handlers to stop. `attempt` decides their outcomes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::postgres::within;
use crate::store::claim::cancel_requests;
use crate::worker::execute::executor::Executor;
use crate::worker::handles::WorkerHandles;
use crate::worker::in_flight::StopReason;

/// How often requests are read without a notification.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How often to check for handlers that should have ended.
const BLOCKED_CHECK_INTERVAL: Duration = Duration::from_secs(1);
const READ_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(in crate::worker) struct CancelRequests {
    requested: Notify,
}

impl CancelRequests {
    /// Reads the requests now.
    pub fn check_cancels(&self) {
        self.requested.notify_one();
    }

    /// Carries out requests until stopped.
    pub async fn run<S: Send + Sync + 'static>(
        self: Arc<Self>,
        handles: Arc<WorkerHandles>,
        executor: Arc<Executor<S>>,
        stop: CancellationToken,
    ) {
        let mut checks = interval(CHECK_INTERVAL);
        let mut blocked_checks = interval(BLOCKED_CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        blocked_checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = blocked_checks.tick() => {
                    executor.abandon_blocked().await;
                    continue;
                }
                () = self.requested.notified() => {}
                _ = checks.tick() => {}
            }
            if !handles.in_flight.is_empty() {
                carry_out(&handles).await;
            }
        }
    }
}

async fn carry_out(handles: &WorkerHandles) {
    let ids: Vec<_> = handles.in_flight.fences().iter().map(|fence| fence.id).collect();
    match within(READ_TIMEOUT, cancel_requests(&handles.database, handles.lease.worker_id(), &ids)).await {
        Ok(requested) => {
            for job in handles.in_flight.all() {
                if job.stop_reason().is_none() && requested.contains(&job.fence()) {
                    tracing::info!(job_id = job.id, kind = job.kind, "cancel requested");
                    job.stop(StopReason::CancelRequested);
                }
            }
        }
        Err(error) => tracing::warn!(%error, "cancel requests could not be read; trying again"),
    }
}
