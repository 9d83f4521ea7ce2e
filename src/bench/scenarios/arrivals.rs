//! `arrivals`: jobs that are enqueued singly on several connections, at 300 and at 2,000 per second.

use std::time::Duration;

use super::pickup::whole;
use crate::bench::arriving::{Arrivals, Arrived, arrive, percentiles};
use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::rig::Rig;

/// Jobs per second.
const RATES: [u32; 2] = [300, 2_000];
/// Enough that a commit of some milliseconds does not delay the arrivals.
const CONNECTIONS: usize = 16;

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    for rate in RATES {
        let jobs = rig.plan.jobs(u64::from(rate) * 10, u64::from(rate) * 3 / 2);
        let rate = f64::from(rate);
        let arrivals = Arrivals { jobs, rate, connections: CONNECTIONS, window: Duration::from_hours(1) };
        let Arrived { rate: reached, windows } = arrive(rig, arrivals).await?;
        rig.found(
            Figure::single(rig.name(&format!("at_{rate}.rate")), Unit::JobsPerSecond, Some(reached))
                .against(Some(rate)),
        );
        percentiles(rig, &format!("at_{rate}."), &whole(&windows)?);
    }
    Ok(())
}
