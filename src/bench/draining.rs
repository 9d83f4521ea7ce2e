//! Working off a backlog, from the first claim to the last finish by the database's clock.

use super::error::BenchError;
use super::jobs::noops;
use super::measured_worker::WorkerSetup;
use super::process_usage::{MachineTime, Usage};
use super::rig::Rig;
use super::rounds::{per_job, per_second};
use super::store;
use super::worker_process::WorkerProcess;
use crate::job::DEFAULT_QUEUE;
use crate::{copy, operate};

/// What one drain took.
pub(super) struct Drained {
    /// Jobs a second.
    pub rate: f64,
    /// WAL to insert a job, and to run and finish it, in bytes.
    pub wal: (f64, f64),
    /// Dead rows that a job leaves behind.
    pub dead_rows: f64,
    /// Seconds of a core for 100,000 jobs, of all worker processes together.
    pub cpu: Option<f64>,
    /// The most memory that a worker process had, in MiB.
    pub peak: Option<f64>,
}

/// Adds so many jobs and has them worked off by so many worker processes, which are started and ready
/// before the first job may be claimed.
pub(super) async fn drain(
    rig: &mut Rig<'_>,
    jobs: u64,
    setup: &WorkerSetup,
    workers: usize,
) -> Result<Drained, BenchError> {
    let sessions = rig.sessions().await?;
    let dead_before = store::server::dead_rows(&rig.client).await?;
    operate::pause(&rig.client, DEFAULT_QUEUE).await?;
    let wal_insert = fill(rig, jobs).await?;
    let mut workers = rig.start(setup, workers).await?;
    let cpu_before = cpu(&workers);
    let (machine_before, wal_before) = (MachineTime::now(), store::server::wal_position(&rig.client).await?);

    operate::resume(&rig.client, DEFAULT_QUEUE).await?;
    rig.drained(jobs, &mut workers).await?;

    let wal_run = store::server::wal_position(&rig.client).await? - wal_before;
    let busy = machine_before.zip(MachineTime::now()).and_then(|(before, now)| now.busy_since(before));
    rig.busy.extend(busy);
    let cpu = cpu_before.zip(cpu(&workers)).map(|(before, after)| (after - before) * 100_000.0);
    let peak = workers.iter().filter_map(|worker| worker.usage().map(|usage| usage.peak_mebibytes)).reduce(f64::max);
    rig.stop(workers, sessions).await?;
    let dead = store::server::dead_rows(&rig.client).await? - dead_before;
    let found = rig.finished(jobs).await?;
    Ok(Drained {
        rate: per_second(jobs, found.from_first_claim),
        wal: (per_job(wal_insert, jobs), per_job(wal_run, jobs)),
        dead_rows: per_job(dead, jobs),
        cpu: cpu.map(|cpu| cpu * per_job(1, jobs)),
        peak,
    })
}

/// Adds so many jobs in one transaction; the WAL it took.
async fn fill(rig: &Rig<'_>, jobs: u64) -> Result<i64, BenchError> {
    let before = store::server::wal_position(&rig.client).await?;
    let mut client = rig.connect().await?;
    let tx = client.transaction().await.map_err(crate::Error::from)?;
    copy(&tx, noops(jobs)).await?;
    tx.commit().await.map_err(crate::Error::from)?;
    Ok(store::server::wal_position(&rig.client).await? - before)
}

/// Of all together, where all are known.
fn cpu(workers: &[WorkerProcess]) -> Option<f64> {
    workers.iter().map(|worker| worker.usage().map(|Usage { cpu, .. }| cpu)).sum()
}
