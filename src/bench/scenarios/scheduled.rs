//! `scheduled`: whether very many jobs that are scheduled for later at a higher priority slow down the due jobs of the
//! same queue.

use std::time::Duration;

use crate::bench::draining::drain;
use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::jobs::noops;
use crate::bench::rig::Rig;
use crate::bench::store;
use crate::enqueue::enqueue_copy;
use crate::error::Error;
use crate::job::Priority;

const WEEK: Duration = Duration::from_hours(7 * 24);
/// Due jobs: enough for several vacuums, which read the scheduled ones.
const DUE: u64 = 1_000_000;

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let (scheduled, rounds, setup) = (rig.plan.jobs(1_000_000, 100_000), rig.plan.rounds(), rig.setup());
    let due = DUE.min(scheduled);
    let (mut empty, mut behind) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        rig.advance(round.into(), u64::from(rounds) * 2);
        rig.clear().await?;
        empty.push(drain(rig, due, &setup, 1).await?.rate);
    }
    rig.clear().await?;
    schedule(rig, scheduled).await?;
    for round in 0..rounds {
        rig.advance(u64::from(rounds + round), u64::from(rounds) * 2);
        store::jobs::clear_history(&rig.client).await?;
        behind.push(drain(rig, due, &setup, 1).await?.rate);
    }
    rig.clear().await?;
    rig.found(Figure::of_rounds(rig.name("rate"), Unit::JobsPerSecond, &behind).beside(&behind, &empty));
    Ok(())
}

async fn schedule(rig: &Rig<'_>, jobs: u64) -> Result<(), BenchError> {
    let mut client = rig.connect().await?;
    let tx = client.transaction().await.map_err(Error::from)?;
    enqueue_copy(&tx, noops(jobs).map(|job| job?.priority(Priority::Urgent).run_in(WEEK))).await?;
    Ok(tx.commit().await.map_err(Error::from)?)
}
