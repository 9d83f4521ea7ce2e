//! Enqueues single jobs at a given rate and measures the latency until each one starts.
//!
//! Arrivals follow a fixed schedule and do not wait for earlier ones (no coordinated omission): a slow phase does not
//! delay the arrivals that measure it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};
use tokio_postgres::Client;

use super::error::BenchError;
use super::figure::{Figure, Unit};
use super::jobs::Noop;
use super::measured_worker::nanoseconds_now;
use super::rig::{Deadline, Rig};
use super::rounds::per_second;
use super::worker_process::WorkerProcess;
use crate::enqueue::enqueue;
use crate::error::Error;
use crate::job::JobId;

/// The upper bound of the histogram, in µs: an hour.
const LONGEST: u64 = 3_600_000_000;
/// The time limit for the start of the last jobs.
const START_WITHIN: Duration = Duration::from_secs(30);
/// The deviation of an arrival from an even schedule, either way, as a fraction of the gap.
const JITTER: f64 = 0.25;

/// How jobs arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrivals {
    pub jobs: u64,
    /// Jobs per second.
    pub rate: f64,
    pub connections: usize,
    /// Each window has a histogram.
    pub window: Duration,
}

/// The result of a series of arrivals.
pub(super) struct Arrived {
    /// The actual rate, in jobs per second.
    pub rate: f64,
    /// Latencies in µs, one histogram per window.
    pub windows: Vec<Histogram<u64>>,
}

impl Arrivals {
    /// The duration of all arrivals.
    pub fn lasting(&self) -> Duration {
        Duration::from_secs_f64(self.rate.recip()).saturating_mul(u32::try_from(self.jobs).unwrap_or(u32::MAX))
    }
}

/// Enqueues jobs for an otherwise idle worker process.
pub(super) async fn arrive(rig: &mut Rig<'_>, arrivals: Arrivals) -> Result<Arrived, BenchError> {
    rig.clear().await?;
    let sessions = rig.sessions().await?;
    let latencies = Latencies::new(arrivals.window)?;
    let workers = rig.start_reporting(&rig.setup(), 1, &latencies).await?;
    let arriving = Arriving::begin(rig, arrivals, latencies).await?;
    arriving.finish(rig, workers, sessions).await
}

/// Jobs that are being enqueued.
pub(super) struct Arriving {
    arrivals: Arrivals,
    latencies: Arc<Latencies>,
    start: Instant,
    producers: JoinSet<Result<(), Error>>,
}

impl Arriving {
    /// The first job is due now.
    pub async fn begin(rig: &Rig<'_>, arrivals: Arrivals, latencies: Arc<Latencies>) -> Result<Self, BenchError> {
        let mut clients = Vec::new();
        for _ in 0..arrivals.connections {
            clients.push(rig.connect().await?);
        }
        latencies.begin();
        let start = Instant::now();
        let mut producers = JoinSet::new();
        for (number, client) in clients.into_iter().enumerate() {
            producers.spawn(produce(client, arrivals, number, start, Arc::clone(&latencies)));
        }
        Ok(Self { arrivals, latencies, start, producers })
    }

    /// Waits until all have arrived and were finished, each once. Stops the workers.
    pub async fn finish(
        self,
        rig: &mut Rig<'_>,
        mut workers: Vec<WorkerProcess>,
        sessions_before: i64,
    ) -> Result<Arrived, BenchError> {
        let Self { arrivals, latencies, start, mut producers } = self;
        let (jobs, seconds, mut tick) = (arrivals.jobs, arrivals.lasting().as_secs(), interval(Duration::from_secs(1)));
        loop {
            tokio::select! {
                ended = producers.join_next() => match ended {
                    Some(produced) => produced??,
                    None => break,
                },
                _ = tick.tick() => {
                    rig.advance(start.elapsed().as_secs().min(seconds), seconds);
                    workers.iter_mut().try_for_each(WorkerProcess::check)?;
                }
            }
        }
        let rate = per_second(jobs, start.elapsed().as_secs_f64());
        let deadline = Deadline::new("the start of the last jobs", START_WITHIN);
        while latencies.count() < jobs {
            deadline.wait().await?;
        }
        rig.drained(jobs, &mut workers).await?;
        rig.stop(workers, sessions_before).await?;
        rig.finished(jobs).await?;
        let unmatched = latencies.unmatched();
        if unmatched > 0 {
            return Err(BenchError::NotStarted { scenario: rig.scenario, count: unmatched });
        }
        Ok(Arrived { rate, windows: latencies.take() })
    }
}

/// Enqueues every `connections`th job at its scheduled time.
async fn produce(
    client: Client,
    arrivals: Arrivals,
    number: usize,
    start: Instant,
    latencies: Arc<Latencies>,
) -> Result<(), Error> {
    let gap = arrivals.rate.recip();
    for job in (0..arrivals.jobs).skip(number).step_by(arrivals.connections) {
        #[allow(clippy::cast_precision_loss, reason = "no run comes near 2^52 jobs")]
        let place = job as f64 + 1.0 + (fastrand::f64() * 2.0 - 1.0) * JITTER;
        sleep_until(start + Duration::from_secs_f64(place * gap)).await;
        let id = enqueue(&client, &Noop::default()).await?.id;
        latencies.acknowledged(id, nanoseconds_now());
    }
    Ok(())
}

/// Latencies from the acknowledged commit to the first line of the handler. The two events of a job are recorded in
/// either order.
pub(super) struct Latencies {
    window: Duration,
    seen: Mutex<Seen>,
}

struct Seen {
    begun: u64,
    acknowledged: HashMap<JobId, u64>,
    started: HashMap<JobId, u64>,
    count: u64,
    empty: Histogram<u64>,
    windows: Vec<Histogram<u64>>,
}

impl Latencies {
    pub fn new(window: Duration) -> Result<Arc<Self>, BenchError> {
        let seen = Seen {
            begun: 0,
            acknowledged: HashMap::new(),
            started: HashMap::new(),
            count: 0,
            empty: Histogram::new_with_bounds(1, LONGEST, 3)?,
            windows: Vec::new(),
        };
        Ok(Arc::new(Self { window, seen: Mutex::new(seen) }))
    }

    fn begin(&self) {
        self.seen.lock().begun = nanoseconds_now();
    }

    fn acknowledged(&self, id: JobId, at: u64) {
        let mut seen = self.seen.lock();
        match seen.started.remove(&id) {
            Some(started) => seen.record(self.window, at, started),
            None => drop(seen.acknowledged.insert(id, at)),
        }
    }

    pub fn started(&self, id: JobId, at: u64) {
        let mut seen = self.seen.lock();
        match seen.acknowledged.remove(&id) {
            Some(acknowledged) => seen.record(self.window, acknowledged, at),
            None => drop(seen.started.insert(id, at)),
        }
    }

    fn count(&self) -> u64 {
        self.seen.lock().count
    }

    fn unmatched(&self) -> usize {
        let seen = self.seen.lock();
        seen.acknowledged.len() + seen.started.len()
    }

    fn take(&self) -> Vec<Histogram<u64>> {
        let mut windows = std::mem::take(&mut self.seen.lock().windows);
        // The rest after the last full window is added to that window.
        if let [.., whole, rest] = &mut windows[..]
            && rest.len() < whole.len() / 2
        {
            // Both have the same bounds.
            let _ = whole.add(&*rest);
            windows.pop();
        }
        windows
    }
}

impl Seen {
    fn record(&mut self, window: Duration, acknowledged: u64, started: u64) {
        let since = u128::from(acknowledged.saturating_sub(self.begun));
        let number = usize::try_from(since / window.as_nanos().max(1)).unwrap_or(usize::MAX);
        while self.windows.len() <= number {
            self.windows.push(self.empty.clone());
        }
        // A handler may begin before the producer has read the acknowledgement.
        self.windows[number].saturating_record(started.saturating_sub(acknowledged) / 1_000);
        self.count += 1;
    }
}

/// Returns a percentile in ms.
pub(super) fn percentile(latencies: &Histogram<u64>, percent: f64) -> f64 {
    milliseconds(latencies.value_at_percentile(percent))
}

/// Reports the usual percentiles as figures, with the prefix `what`.
pub(super) fn percentiles(rig: &mut Rig<'_>, what: &str, latencies: &Histogram<u64>) {
    for (name, percent) in [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("max", 100.0)] {
        let value = percentile(latencies, percent);
        rig.found(Figure::single(rig.name(&format!("{what}{name}")), Unit::Milliseconds, Some(value)));
    }
}

#[allow(clippy::cast_precision_loss, reason = "at most an hour")]
fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_latency_counts_in_the_window_of_its_commit_whichever_end_is_heard_of_first() {
        let latencies = Latencies::new(Duration::from_secs(1)).unwrap();
        for id in 0..10 {
            latencies.acknowledged(id, SECOND / 2);
            latencies.started(id, SECOND / 2 + 2_000_000);
            latencies.started(id + 10, SECOND + 7_000_000);
            latencies.acknowledged(id + 10, SECOND + 8_000_000);
        }
        latencies.acknowledged(20, 2 * SECOND);
        assert_eq!((latencies.count(), latencies.unmatched()), (20, 1));
        latencies.started(20, 3 * SECOND);
        let windows = latencies.take();
        let counts: Vec<u64> = windows.iter().map(Histogram::len).collect();
        assert_eq!(counts, [10, 11], "the rest joins the last whole window");
        let (first, second) = (percentile(&windows[0], 50.0), percentile(&windows[1], 50.0));
        assert!((first - 2.0).abs() < 0.01 && second < 0.01, "{first} {second}");
    }
}
