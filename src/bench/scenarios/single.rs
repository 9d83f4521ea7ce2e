//! `single`: one job at a time on one connection, each in its own transaction.

use std::sync::Arc;

use crate::bench::adding::{Way, rate};
use crate::bench::error::BenchError;
use crate::bench::rig::Rig;
use crate::bench::rounds::{Limit, compare};

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let limit = Limit { jobs: rig.plan.jobs(u64::MAX, u64::MAX), time: rig.plan.enqueueing() };
    let clients = [Arc::new(rig.connect().await?)];
    compare(rig, async || rate(&clients, Way::Enqueue, limit).await, async || rate(&clients, Way::Bare, limit).await)
        .await
}
