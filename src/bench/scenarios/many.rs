//! `many`: batches of 1,000 jobs enqueued with `enqueue_many`, one statement each.

use crate::bench::error::BenchError;
use crate::bench::jobs::{Noop, bare, noops};
use crate::bench::rig::Rig;
use crate::bench::rounds::{Limit, compare, rate};
use crate::bench::store;
use crate::enqueue::enqueue_many;
use crate::job::Args;
use crate::job::NewJob;

const BATCH: usize = 1_000;

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let jobs = rig.plan.jobs(u64::MAX, u64::MAX);
    let limit = Limit { jobs, time: rig.plan.enqueueing() };
    let (client, args) = (rig.connect().await?, Args::of(&Noop::default())?);
    let (client, job) = (&client, bare(&args));
    let each = u64::try_from(BATCH).unwrap_or(u64::MAX);
    let batch = async || enqueue_many(client, &noops(each).collect::<Result<Vec<NewJob>, _>>()?).await.map(drop);
    compare(
        rig,
        async || rate(limit, each, batch).await,
        async || rate(limit, each, async || store::jobs::insert_jobs(client, &job, BATCH).await).await,
    )
    .await
}
