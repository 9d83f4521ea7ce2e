//! `pickup`: single jobs on an idle system. Measures from the acknowledged commit in one process to the first line of
//! the handler in another.

use hdrhistogram::Histogram;

use crate::bench::arriving::{Arrivals, Arrived, arrive, percentiles};
use crate::bench::error::BenchError;
use crate::bench::rig::Rig;

/// One job every 15 to 25 ms.
const RATE: f64 = 50.0;

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let jobs = rig.plan.jobs(500, 300);
    let mut arrivals = Arrivals { jobs, rate: RATE, connections: 1, window: std::time::Duration::ZERO };
    arrivals.window = arrivals.lasting() * 10;
    let Arrived { windows, .. } = arrive(rig, arrivals).await?;
    percentiles(rig, "", &whole(&windows)?);
    Ok(())
}

/// Merges all windows.
pub(super) fn whole(windows: &[Histogram<u64>]) -> Result<Histogram<u64>, BenchError> {
    let mut all = Histogram::new(3)?;
    for window in windows {
        // Cannot fail: the histogram resizes itself.
        let _ = all.add(window);
    }
    Ok(all)
}
