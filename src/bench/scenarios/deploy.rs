//! `deploy`: jobs of 5 s arrive while all worker processes are replaced, one after the other, as a rolling deploy does:
//! the new one is ready before the old one is asked to stop, and the next one waits for the old one's end.

use std::time::Duration;

use super::pickup::whole;
use crate::bench::arriving::{Arrivals, Arrived, Arriving, Latencies, percentiles};
use crate::bench::error::BenchError;
use crate::bench::measured_worker::WorkerSetup;
use crate::bench::rig::Rig;

/// Jobs per second: a third of what 16 workers of 100 slots can run.
const RATE: f64 = 100.0;
const CONNECTIONS: usize = 4;
/// How long the start of a worker process takes at most, roughly.
const START: Duration = Duration::from_secs(2);

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let (workers, work) = if rig.plan.quick { (4, Duration::from_secs(1)) } else { (16, Duration::from_secs(5)) };
    let setup = WorkerSetup { work: Some(work), ..rig.setup() };
    let lasting = (work + START) * workers;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousand jobs")]
    let jobs = rig.plan.jobs((lasting.as_secs_f64() * RATE) as u64, (lasting.as_secs_f64() * RATE) as u64);
    rig.clear().await?;
    let sessions = rig.sessions().await?;
    let latencies = Latencies::new(Duration::from_hours(1))?;
    let mut running = rig.start_reporting(&setup, workers as usize, &latencies).await?;
    let arrivals = Arrivals { jobs, rate: RATE, connections: CONNECTIONS, window: Duration::from_hours(1) };
    let arriving = Arriving::begin(rig, arrivals, latencies.clone()).await?;
    for (number, worker) in (0..).zip(&mut running) {
        rig.advance(number, workers.into());
        let new = rig.start_reporting(&setup, 1, &latencies).await?;
        for new in new {
            std::mem::replace(worker, new).stop().await?;
        }
    }
    let Arrived { windows, .. } = arriving.finish(rig, running, sessions).await?;
    percentiles(rig, "", &whole(&windows)?);
    Ok(())
}
