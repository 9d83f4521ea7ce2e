//! `fleet`: whether the total throughput falls with more worker processes on one queue.

use crate::bench::draining::drain;
use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::rig::Rig;

const SIZES: [u8; 5] = [1, 2, 4, 8, 16];

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let (jobs, rounds, setup) = (rig.plan.jobs(200_000, 50_000), rig.plan.rounds(), rig.setup());
    let mut rates = vec![Vec::new(); SIZES.len()];
    for round in 0..rounds {
        for (size, rates) in SIZES.iter().zip(&mut rates) {
            rig.advance(round.into(), rounds.into());
            rig.clear().await?;
            rates.push(drain(rig, jobs, &setup, usize::from(*size)).await?.rate);
        }
    }
    for (size, of_size) in SIZES.iter().zip(&rates) {
        let name = rig.name(&format!("of_{size}.rate"));
        rig.found(Figure::of_rounds(name, Unit::JobsPerSecond, of_size).beside(of_size, &rates[0]));
    }
    Ok(())
}
