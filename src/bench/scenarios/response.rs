//! `response`: one request at a time on an idle system. Measures from the enqueue, in this process, until its wait has the
//! finished job, which a worker process has run.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::time::sleep;

use crate::bench::arriving::percentiles;
use crate::bench::error::BenchError;
use crate::bench::jobs::Noop;
use crate::bench::rig::Rig;
use crate::enqueue::enqueue;
use crate::wait::Waiter;

/// The pause between two requests: the worker is idle again.
const PAUSE: Duration = Duration::from_millis(15);
/// The time limit of a request.
const RESPONSE_WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn measure(rig: &mut Rig<'_>) -> Result<(), BenchError> {
    let jobs = rig.plan.jobs(500, 200);
    rig.clear().await?;
    let sessions = rig.sessions().await?;
    let client = rig.connect().await?;
    let workers = rig.start(&rig.setup(), 1).await?;
    // With a pool of its own, which is closed at the end.
    let waiter = Waiter::new(&rig.own_database());
    let mut latencies = Histogram::<u64>::new(3)?;
    for done in 0..jobs {
        rig.advance(done, jobs);
        sleep(PAUSE).await;
        let start = Instant::now();
        let id = enqueue(&client, &Noop::default()).awaited().await?.id;
        waiter
            .wait(id, RESPONSE_WITHIN)
            .await?
            .ok_or(BenchError::Stalled { what: "the response to a request", seconds: RESPONSE_WITHIN.as_secs() })?;
        let taken = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        // Cannot fail: the histogram resizes itself.
        let _ = latencies.record(taken);
    }
    drop((waiter, client));
    rig.stop(workers, sessions).await?;
    rig.finished(jobs).await?;
    percentiles(rig, "", &latencies);
    Ok(())
}
