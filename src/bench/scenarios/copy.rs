//! `copy`: very many jobs enqueued with one COPY.

use tokio::sync::Mutex;

use crate::bench::error::BenchError;
use crate::bench::jobs::{Noop, bare, noops};
use crate::bench::rig::Rig;
use crate::bench::rounds::{Limit, compare, rate};
use crate::bench::store;
use crate::enqueue::enqueue_copy;
use crate::job::Args;

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let jobs = rig.plan.jobs(100_000, 30_000);
    // One COPY per round.
    let limit = Limit { jobs, time: rig.plan.enqueueing() };
    let (client, args) = (Mutex::new(rig.connect().await?), Args::of(&Noop::default())?);
    let job = bare(&args);
    let ours = async || {
        let mut client = client.lock().await;
        rate(limit, jobs, async || {
            let tx = client.transaction().await?;
            enqueue_copy(&tx, noops(jobs)).await?;
            Ok(tx.commit().await?)
        })
        .await
    };
    let bare = async || {
        let client = client.lock().await;
        rate(limit, jobs, async || store::jobs::copy_jobs(&client, &job, jobs).await).await
    };
    compare(rig, ours, bare).await
}
