//! Drains a backlog. Measures from the first claim to the last finish by the database's clock, or from the outside if
//! the history keeps no completed jobs.

use tokio::time::Instant;

use super::error::BenchError;
use super::jobs::noops;
use super::measured_worker::WorkerSetup;
use super::process_usage::{MachineTime, Usage};
use super::rig::Rig;
use super::rounds::{per_job, per_second};
use super::store;
use super::worker_process::WorkerProcess;
use crate::admin;
use crate::enqueue::enqueue_copy;
use crate::error::Error;
use crate::job::{DEFAULT_QUEUE, NewJob};

/// The result of one drain.
pub(super) struct Drained {
    /// Jobs per second.
    pub rate: f64,
    /// WAL per job in bytes: to insert it, and to run and finish it.
    pub wal: (f64, f64),
    /// Dead rows per job.
    pub dead_rows: f64,
    /// CPU seconds per 100,000 jobs, of all worker processes together.
    pub cpu: Option<f64>,
    /// The highest peak memory of a worker process, in MiB.
    pub peak: Option<f64>,
}

/// Enqueues `jobs` jobs and drains them with `workers` worker processes, which are ready before the first job can be
/// claimed.
pub(super) async fn drain(
    rig: &mut Rig<'_>,
    jobs: u64,
    setup: &WorkerSetup,
    workers: usize,
) -> Result<Drained, BenchError> {
    drain_these(rig, (jobs, noops(jobs)), setup, workers).await
}

/// As [`drain`], with a number of jobs of the caller's.
pub(super) async fn drain_these(
    rig: &mut Rig<'_>,
    (jobs, backlog): (u64, impl Iterator<Item = Result<NewJob, Error>>),
    setup: &WorkerSetup,
    workers: usize,
) -> Result<Drained, BenchError> {
    let sessions = rig.sessions().await?;
    let dead_before = store::server::dead_rows(&rig.client).await?;
    admin::pause(&rig.client, DEFAULT_QUEUE).await?;
    let wal_insert = fill(rig, backlog).await?;
    let mut workers = rig.start(setup, workers).await?;
    let cpu_before = cpu(&workers);
    let (machine_before, wal_before) = (MachineTime::now(), store::server::wal_position(&rig.client).await?);

    admin::resume(&rig.client, DEFAULT_QUEUE).await?;
    let began = Instant::now();
    rig.drained(jobs, &mut workers).await?;
    let from_outside = began.elapsed().as_secs_f64();

    let wal_run = store::server::wal_position(&rig.client).await? - wal_before;
    let busy = machine_before.zip(MachineTime::now()).and_then(|(before, now)| now.busy_since(before));
    rig.busy.extend(busy);
    let cpu = cpu_before.zip(cpu(&workers)).map(|(before, after)| (after - before) * 100_000.0);
    let peak = workers.iter().filter_map(|worker| worker.usage().map(|usage| usage.peak_mebibytes)).reduce(f64::max);
    rig.stop(workers, sessions).await?;
    let dead = store::server::dead_rows(&rig.client).await? - dead_before;
    let seconds = if setup.keep_completed { rig.finished(jobs).await?.from_first_claim } else { from_outside };
    Ok(Drained {
        rate: per_second(jobs, seconds),
        wal: (per_job(wal_insert, jobs), per_job(wal_run, jobs)),
        dead_rows: per_job(dead, jobs),
        cpu: cpu.map(|cpu| cpu * per_job(1, jobs)),
        peak,
    })
}

/// Enqueues jobs in one transaction. Returns the bytes of WAL written.
async fn fill(rig: &Rig<'_>, backlog: impl Iterator<Item = Result<NewJob, Error>>) -> Result<i64, BenchError> {
    let before = store::server::wal_position(&rig.client).await?;
    let mut client = rig.connect().await?;
    let tx = client.transaction().await.map_err(Error::from)?;
    enqueue_copy(&tx, backlog).await?;
    tx.commit().await.map_err(Error::from)?;
    Ok(store::server::wal_position(&rig.client).await? - before)
}

/// Returns the CPU seconds of all workers together if all are known.
fn cpu(workers: &[WorkerProcess]) -> Option<f64> {
    workers.iter().map(|worker| worker.usage().map(|Usage { cpu, .. }| cpu)).sum()
}
