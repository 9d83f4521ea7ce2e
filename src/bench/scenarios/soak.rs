//! `soak`: a steady rate for a long time. Latencies and sizes must stabilise.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

use super::held::window;
use crate::bench::arriving::{Arrivals, Arrived, arrive, percentile};
use crate::bench::error::BenchError;
use crate::bench::figure::{Figure, Unit};
use crate::bench::rig::Rig;
use crate::bench::rounds::per_job;
use crate::bench::store;

const RATE: u32 = 5_000;
const CONNECTIONS: usize = 32;
const USUAL: Duration = Duration::from_mins(30);

/// Bytes of the hot table and its indexes at the end of each window.
type Sizes = Arc<Mutex<Vec<(i64, i64)>>>;

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let time = rig.plan.lasting(USUAL);
    let arrivals = Arrivals {
        jobs: time.as_secs().max(1) * u64::from(RATE),
        rate: f64::from(RATE),
        connections: CONNECTIONS,
        window: window(time),
    };
    let sizes = Sizes::default();
    let sampling = sample(rig.connect().await?, arrivals.window, Arc::clone(&sizes));
    let sampler = AbortOnDropHandle::new(tokio::spawn(sampling));
    let Arrived { rate, windows } = arrive(rig, arrivals).await?;
    drop(sampler);

    rig.found(Figure::single(rig.name("rate"), Unit::JobsPerSecond, Some(rate)).against(Some(arrivals.rate)));
    let sizes = sizes.lock().clone();
    for (number, window) in windows.iter().enumerate() {
        let mut tell = |what: &str, unit, value| {
            rig.found(Figure::single(rig.name(&format!("minute_{}.{what}", number + 1)), unit, Some(value)));
        };
        tell("p50", Unit::Milliseconds, percentile(window, 50.0));
        tell("p99", Unit::Milliseconds, percentile(window, 99.0));
        if let Some((table, indexes)) = sizes.get(number) {
            tell("table", Unit::Mebibytes, mebibytes(*table));
            tell("indexes", Unit::Mebibytes, mebibytes(*indexes));
        }
    }
    Ok(())
}

async fn sample(client: Client, window: Duration, sizes: Sizes) {
    loop {
        tokio::time::sleep(window).await;
        // If the database is gone, the arrivals return the error.
        let Ok(size) = store::server::sizes(&client).await else { return };
        sizes.lock().push(size);
    }
}

fn mebibytes(bytes: i64) -> f64 {
    per_job(bytes, 1024 * 1024)
}
