//! `idle`: the cost of an idle worker process.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::rig::Rig;
use crate::bench::rounds::per_job;
use crate::bench::store;
use crate::bench::worker_process::WorkerProcess;

/// How long to wait until a worker's startup is done and counted.
const CALM: Duration = Duration::from_secs(2);
/// The heartbeat interval of a worker: each window contains one heartbeat.
const WINDOW: Duration = Duration::from_secs(5);

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    // The median of several windows, because the count includes autovacuum.
    let windows: u64 = if rig.plan.quick { 1 } else { 3 };
    rig.clear().await?;
    let sessions = rig.sessions().await?;
    let workers = rig.start(&rig.setup(), 1).await?;
    sleep(CALM).await;
    let (mut percents, mut rates) = (Vec::new(), Vec::new());
    for window in 0..windows {
        rig.advance(window, windows);
        let (start, cpu, transactions) = (Instant::now(), cpu(&workers), counted(rig).await?);
        sleep(WINDOW).await;
        let (more_cpu, more) = (self::cpu(&workers).zip(cpu), counted(rig).await? - transactions);
        let elapsed = start.elapsed().as_secs_f64();
        percents.push(more_cpu.map(|(now, before)| 100.0 * (now - before) / elapsed));
        rates.push(per_job(more, 1) / elapsed);
    }
    rig.stop(workers, sessions).await?;
    rig.found(Figure::of_known_rounds(rig.name("cpu"), Unit::PercentOfCore, &percents));
    rig.found(Figure::of_rounds(rig.name("queries"), Unit::QueriesPerSecond, &rates));
    Ok(())
}

/// Returns the CPU seconds so far.
fn cpu(workers: &[WorkerProcess]) -> Option<f64> {
    workers.iter().find_map(|worker| worker.usage().map(|usage| usage.cpu))
}

/// Returns the transactions so far. Each query of a worker is a separate transaction.
async fn counted(rig: &Rig<'_>) -> Result<i64, BenchError> {
    let (admin, database) = rig.outside();
    Ok(store::server::transactions(admin, database).await?)
}
