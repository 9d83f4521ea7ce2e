//! `backlog`: whether a very large backlog drains as fast as a small one.

use crate::bench::draining::drain;
use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::rig::Rig;

const SMALL: u64 = 100_000;

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let (large, rounds, setup) = (rig.plan.jobs(5_000_000, 200_000), rig.plan.rounds(), rig.setup());
    let mut small_rates = Vec::new();
    for round in 0..rounds {
        rig.advance(round.into(), u64::from(rounds) * 2);
        rig.clear().await?;
        small_rates.push(drain(rig, SMALL.min(large), &setup, 1).await?.rate);
    }
    rig.clear().await?;
    let large = drain(rig, large, &setup, 1).await?;
    let small = Figure::of_rounds(rig.name("small_rate"), Unit::JobsPerSecond, &small_rates);
    let against = small.value;
    rig.found(small);
    rig.found(Figure::single(rig.name("rate"), Unit::JobsPerSecond, Some(large.rate)).against(against));
    rig.found(Figure::single(rig.name("worker_memory"), Unit::Mebibytes, large.peak));
    Ok(())
}
