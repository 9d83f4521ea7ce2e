//! `slots`: jobs of 50 ms on 500 slots, compared with the possible 10,000 per second.

use std::time::Duration;

use crate::bench::draining::drain;
use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::measured_worker::WorkerSetup;
use crate::bench::rig::Rig;

const SLOTS: u16 = 500;
const WORK: Duration = Duration::from_millis(50);

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let (jobs, rounds) = (rig.plan.jobs(100_000, 30_000), rig.plan.rounds());
    let setup = WorkerSetup { slots: SLOTS.into(), work: Some(WORK), ..rig.setup() };
    let mut rates = Vec::new();
    for round in 0..rounds {
        rig.advance(round.into(), rounds.into());
        rig.clear().await?;
        rates.push(drain(rig, jobs, &setup, 1).await?.rate);
    }
    let possible = f64::from(SLOTS) / WORK.as_secs_f64();
    rig.found(Figure::of_rounds(rig.name("rate"), Unit::JobsPerSecond, &rates).against(Some(possible)));
    Ok(())
}
