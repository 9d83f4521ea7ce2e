//! `no_history`: a drain of jobs whose history is not kept.

use crate::bench::draining::drain;
use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::measured_worker::WorkerSetup;
use crate::bench::rig::Rig;

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let (jobs, rounds) = (rig.plan.jobs(200_000, 30_000), rig.plan.rounds());
    let setup = WorkerSetup { keep_completed: false, ..rig.setup() };
    let (mut rates, mut wal) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        rig.advance(round.into(), rounds.into());
        rig.clear().await?;
        let drained = drain(rig, jobs, &setup, 1).await?;
        rates.push(drained.rate);
        wal.push(drained.wal.0 + drained.wal.1);
    }
    rig.found(Figure::of_rounds(rig.name("rate"), Unit::JobsPerSecond, &rates));
    rig.found(Figure::of_rounds(rig.name("wal"), Unit::BytesPerJob, &wal));
    Ok(())
}
