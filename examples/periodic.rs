//! Periodic jobs: at an interval, by a cron expression, and at each start of a worker.
//!
//! A tick enqueues its job once for the whole fleet, however many workers have the schedule: that is decided in the
//! database. Ticks that were missed while no worker ran collapse into one.
//!
//! ```sh
//! scripts/services start; set -a; . .dev/env; set +a
//! worker migrate
//! cargo run --example periodic --features schedules    # without the feature: no cron
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use postrider::{Context, Database, Job, JobError, JobId, Shutdown, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::timeout;

const QUEUE: &str = "example_periodic";
const REPORT: &str = "example_periodic_report";

/// A periodic job has the default value of its type as payload: nobody is there to fill in another.
#[derive(Default, Serialize, Deserialize)]
struct WarmCache {}

impl Job for WarmCache {
    const KIND: &'static str = "example_periodic_warm_cache";
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

#[derive(Default, Serialize, Deserialize)]
struct Sweep {}

impl Job for Sweep {
    const KIND: &'static str = "example_periodic_sweep";
    const QUEUE: Option<&'static str> = Some(QUEUE);
    // The next tick tries again soon enough.
    const MAX_ATTEMPTS: Option<u32> = Some(1);
}

#[cfg(feature = "schedules")]
#[derive(Default, Serialize, Deserialize)]
struct Report {}

#[cfg(feature = "schedules")]
impl Job for Report {
    const KIND: &'static str = REPORT;
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

/// Where the handlers report their runs.
type Runs = mpsc::UnboundedSender<(&'static str, JobId)>;

/// The handler of all kinds.
async fn run<J>(_: J, cx: Context<Runs>) -> Result<(), JobError> {
    cx.state().send((cx.kind(), cx.job_id()))?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let (runs, mut seen) = mpsc::unbounded_channel();
    let worker = Worker::new(Database::from_url(&url)?, runs)
        .queue(QUEUE, 10)
        .at_start::<WarmCache>()
        .every::<Sweep>(Duration::from_millis(500))
        .handle(run::<WarmCache>)
        .handle(run::<Sweep>);
    // Five fields as in a crontab, in UTC: `0 3 * * *` is each night at three. A sixth one in front is for seconds.
    #[cfg(feature = "schedules")]
    let worker = worker.cron::<Report>("* * * * * *").handle(run::<Report>);

    let shutdown = Shutdown::new();
    let running = tokio::spawn(worker.run(shutdown.clone()));

    let wanted = [(WarmCache::KIND, 1), (Sweep::KIND, 3), (REPORT, usize::from(cfg!(feature = "schedules")))];
    let enough = async {
        // Each tick is a job of its own, with its own id.
        let mut jobs = BTreeMap::<&str, BTreeSet<JobId>>::new();
        while wanted.iter().any(|(kind, count)| jobs.get(kind).map_or(0, BTreeSet::len) < *count) {
            let (kind, id) = seen.recv().await.ok_or("the worker has ended")?;
            println!("job {id} of {kind}");
            jobs.entry(kind).or_default().insert(id);
        }
        Ok::<_, Box<dyn Error>>(())
    };
    timeout(Duration::from_secs(10), enough).await.map_err(|_| "not all kinds ran within 10 s")??;
    println!("each kind has run as often as it should");

    shutdown.begin();
    running.await??;
    Ok(())
}
