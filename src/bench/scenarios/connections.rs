//! `connections`: single jobs enqueued on 32 connections at once, while every slot of a worker is in use.
//!
//! A loss against the baseline is the cost of notifications. Without an idle worker, none should be sent.

use std::sync::Arc;
use std::time::Duration;

use crate::bench::adding::{Way, rate};
use crate::bench::error::BenchError;
use crate::bench::jobs::noops;
use crate::bench::measured_worker::WorkerSetup;
use crate::bench::rig::Rig;
use crate::bench::rounds::{Limit, compare};
use crate::enqueue::enqueue_copy;
use crate::error::Error;

const CONNECTIONS: u64 = 32;
/// Longer than any run: the jobs in the slots never end.
const FOR_EVER: Duration = Duration::from_hours(24);
/// Enough for all slots and the prefetch of a worker.
const FILLING: u64 = 2_000;
/// How long to wait until the worker has claimed them.
const FILL_WITHIN: Duration = Duration::from_millis(500);

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let jobs = rig.plan.jobs(u64::MAX, u64::MAX).div_ceil(CONNECTIONS);
    let limit = Limit { jobs, time: rig.plan.enqueueing() };
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Arc::new(rig.connect().await?));
    }
    let sessions = rig.sessions().await?;
    let workers = rig.start(&WorkerSetup { work: Some(FOR_EVER), ..rig.setup() }, 1).await?;
    fill(rig).await?;
    tokio::time::sleep(FILL_WITHIN).await;
    compare(rig, async || rate(&clients, Way::Enqueue, limit).await, async || rate(&clients, Way::Bare, limit).await)
        .await?;
    rig.kill(workers, sessions).await?;
    Ok(rig.clear().await?)
}

/// Fills the slots.
async fn fill(rig: &Rig<'_>) -> Result<(), BenchError> {
    let mut client = rig.connect().await?;
    let tx = client.transaction().await.map_err(Error::from)?;
    enqueue_copy(&tx, noops(FILLING)).await?;
    Ok(tx.commit().await.map_err(Error::from)?)
}
