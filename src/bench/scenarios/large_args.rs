//! `large_args`: the memory of a worker with 1,000 slots and jobs of 1 MiB args that take 50 ms.

use std::time::Duration;

use crate::bench::draining::drain_these;
use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::jobs::padded_noops;
use crate::bench::measured_worker::WorkerSetup;
use crate::bench::rig::Rig;

const SLOTS: usize = 1_000;
const WORK: Duration = Duration::from_millis(50);
/// A little less than 1 MiB, the largest that is accepted.
const BYTES: usize = 1024 * 1024 - 100;

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let (jobs, rounds) = (rig.plan.jobs(5_000, 500), rig.plan.rounds());
    let setup = WorkerSetup { slots: SLOTS, work: Some(WORK), ..rig.setup() };
    let (mut rates, mut memory) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        rig.advance(round.into(), rounds.into());
        rig.clear().await?;
        let drained = drain_these(rig, (jobs, padded_noops(jobs, BYTES)), &setup, 1).await?;
        rates.push(drained.rate);
        memory.push(drained.peak);
    }
    rig.found(Figure::of_rounds(rig.name("rate"), Unit::JobsPerSecond, &rates));
    rig.found(Figure::of_known_rounds(rig.name("worker_memory"), Unit::Mebibytes, &memory));
    Ok(())
}
