//! `idle`: what a worker process costs that has nothing to do.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::rig::Rig;
use crate::bench::rounds::per_job;
use crate::bench::store;

/// Until all that a worker does at its start is done and counted.
const CALM: Duration = Duration::from_secs(2);

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let seconds: u64 = if rig.plan.quick { 4 } else { 15 };
    rig.clear().await?;
    let sessions = rig.sessions().await?;
    let workers = rig.start(&rig.setup(), 1).await?;
    sleep(CALM).await;
    let usage = || workers.iter().find_map(|worker| worker.usage().map(|usage| usage.cpu));
    let (start, cpu, transactions) = (Instant::now(), usage(), counted(rig).await?);
    for second in 0..seconds {
        rig.advance(second, seconds);
        sleep(Duration::from_secs(1)).await;
    }
    let (cpu, transactions) = (usage().zip(cpu).map(|(now, before)| now - before), counted(rig).await? - transactions);
    let elapsed = start.elapsed().as_secs_f64();
    rig.stop(workers, sessions).await?;
    rig.found(Figure::single(rig.name("cpu"), Unit::PercentOfCore, cpu.map(|cpu| 100.0 * cpu / elapsed)));
    rig.found(Figure::single(rig.name("queries"), Unit::QueriesPerSecond, Some(per_job(transactions, 1) / elapsed)));
    Ok(())
}

/// Each query of a worker is a transaction of its own.
async fn counted(rig: &Rig<'_>) -> Result<i64, BenchError> {
    let (admin, database) = rig.outside();
    Ok(store::server::transactions(admin, database).await?)
}
