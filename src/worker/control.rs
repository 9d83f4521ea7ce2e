//! Requests to cancel running jobs, and handlers that do not end.
//!
//! A request is a column of the job's row; the notification only says that there is one. So it is
//! read again with every round of the clock, and none is lost while nobody listens.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::executor::Executor;
use super::held::StopReason;
use super::shared::Shared;
use crate::database::within;
use crate::store::claim::cancel_requests;

/// How often requests are read without a notification.
const ROUND: Duration = Duration::from_secs(5);
/// How often handlers are looked at that should have ended.
const BLOCKED_ROUND: Duration = Duration::from_secs(1);
const READ_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Control {
    asked: Notify,
}

impl Control {
    /// Somebody has asked for a running job to be cancelled.
    pub fn check_cancels(&self) {
        self.asked.notify_one();
    }

    /// Carries out requests until stopped.
    pub async fn run<S: Send + Sync + 'static>(
        self: Arc<Self>,
        shared: Arc<Shared>,
        executor: Arc<Executor<S>>,
        stop: CancellationToken,
    ) {
        let mut round = interval(ROUND);
        let mut blocked_round = interval(BLOCKED_ROUND);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        blocked_round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = blocked_round.tick() => {
                    executor.give_up_blocked().await;
                    continue;
                }
                () = self.asked.notified() => {}
                _ = round.tick() => {}
            }
            if !shared.held.is_empty() {
                carry_out(&shared).await;
            }
        }
    }
}

async fn carry_out(shared: &Shared) {
    let held = shared.held.ids();
    match within(READ_TIMEOUT, cancel_requests(&shared.database, shared.lease.worker_id(), &held)).await {
        Ok(ids) => {
            for held in ids.into_iter().filter_map(|id| shared.held.get(id)) {
                if held.stop_reason().is_none() {
                    tracing::info!(job_id = held.id, kind = held.kind, "job is asked to stop");
                    held.stop(StopReason::CancelRequested);
                }
            }
        }
        Err(error) => tracing::warn!(%error, "requests to cancel could not be read; trying again"),
    }
}
