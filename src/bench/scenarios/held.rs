//! `held`: jobs arrive while another session keeps a transaction open, so that no dead row can be removed.

use std::time::Duration;

use tokio_postgres::IsolationLevel;

use crate::bench::arriving::{Arrivals, Arrived, arrive, percentile};
use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::rig::Rig;
use crate::bench::store;
use crate::error::Error;

const RATE: u32 = 1_000;
const CONNECTIONS: usize = 16;
const USUAL: Duration = Duration::from_mins(10);

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let time = rig.plan.lasting(USUAL);
    let mut elsewhere = rig.connect().await?;
    let holder = elsewhere.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await;
    let holder = holder.map_err(Error::from)?;
    store::jobs::snapshot(&holder).await?;
    let arrivals = Arrivals {
        jobs: time.as_secs().max(1) * u64::from(RATE),
        rate: f64::from(RATE),
        connections: CONNECTIONS,
        window: window(time),
    };
    let Arrived { rate, windows } = arrive(rig, arrivals).await?;
    holder.rollback().await.map_err(Error::from)?;
    rig.found(Figure::single(rig.name("rate"), Unit::JobsPerSecond, Some(rate)).against(Some(arrivals.rate)));
    let (first, last) = (windows.first(), windows.last());
    for (name, percent) in [("p50", 50.0), ("p99", 99.0)] {
        let of = |window| percentile(window, percent);
        rig.found(Figure::single(rig.name(name), Unit::Milliseconds, last.map(of)).against(first.map(of)));
    }
    Ok(())
}

/// The window of latencies: a minute, or a quarter of a shorter run.
pub(super) fn window(time: Duration) -> Duration {
    Duration::from_mins(1).min(time / 4).max(Duration::from_millis(1))
}
