//! `drain`: one worker process drains a backlog of jobs that do nothing.

use crate::bench::draining::{Drained, drain};
use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::rig::Rig;

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let (jobs, rounds, setup) = (rig.plan.jobs(200_000, 30_000), rig.plan.rounds(), rig.setup());
    let mut drains = Vec::new();
    for round in 0..rounds {
        rig.advance(round.into(), rounds.into());
        rig.clear().await?;
        drains.push(drain(rig, jobs, &setup, 1).await?);
    }
    let of = |part: fn(&Drained) -> f64| drains.iter().map(part).collect::<Vec<f64>>();
    let cpu: Vec<Option<f64>> = drains.iter().map(|drained| drained.cpu).collect();
    let peak: Vec<Option<f64>> = drains.iter().map(|drained| drained.peak).collect();
    rig.found(Figure::of_rounds(rig.name("rate"), Unit::JobsPerSecond, &of(|drained| drained.rate)));
    rig.found(Figure::of_rounds(rig.name("wal_insert"), Unit::BytesPerJob, &of(|drained| drained.wal.0)));
    rig.found(Figure::of_rounds(rig.name("wal_run"), Unit::BytesPerJob, &of(|drained| drained.wal.1)));
    rig.found(Figure::of_rounds(rig.name("dead_rows"), Unit::RowsPerJob, &of(|drained| drained.dead_rows)));
    rig.found(Figure::of_known_rounds(rig.name("worker_cpu_per_100k"), Unit::CoreSeconds, &cpu));
    rig.found(Figure::of_known_rounds(rig.name("worker_memory"), Unit::Mebibytes, &peak));
    Ok(())
}
