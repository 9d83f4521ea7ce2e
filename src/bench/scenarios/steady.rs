//! `steady`: a bulk producer and a worker process at the same time. Measures from the first insert to the last finish.

use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::jobs::noops;
use crate::bench::rig::Rig;
use crate::bench::rounds::per_second;
use crate::enqueue::enqueue_copy;
use crate::error::Error;

/// Jobs per transaction of the producer.
const BATCH: u64 = 5_000;

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let (jobs, rounds, setup) = (rig.plan.jobs(200_000, 30_000), rig.plan.rounds(), rig.setup());
    let mut rates = Vec::new();
    for round in 0..rounds {
        rig.advance(round.into(), rounds.into());
        rig.clear().await?;
        let sessions = rig.sessions().await?;
        let mut workers = rig.start(&setup, 1).await?;
        AbortOnDropHandle::new(tokio::spawn(produce(rig.connect().await?, jobs))).await??;
        rig.drained(jobs, &mut workers).await?;
        rig.stop(workers, sessions).await?;
        rates.push(per_second(jobs, rig.finished(jobs).await?.from_first_insert));
    }
    rig.found(Figure::of_rounds(rig.name("rate"), Unit::JobsPerSecond, &rates));
    Ok(())
}

async fn produce(mut client: Client, jobs: u64) -> Result<(), Error> {
    let mut left = jobs;
    while left > 0 {
        let batch = left.min(BATCH);
        let tx = client.transaction().await?;
        enqueue_copy(&tx, noops(batch)).await?;
        tx.commit().await?;
        left -= batch;
    }
    Ok(())
}
