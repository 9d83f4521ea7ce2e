//! The configuration of a worker: settings, defaults, allowed ranges.
//!
//! Promises: a value out of range is refused before the worker connects, with its name and the range. The configuration
//! does not change while the worker runs.

use std::collections::HashSet;
use std::fmt::Debug;
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::job::Retention;
use crate::job::check_queue;
use crate::worker::execute::retry_policy::RetryPolicy;
use crate::worker::handler::DEFAULT_MAX_OUTPUT_BYTES;

/// The concurrency of a queue that names none.
pub const DEFAULT_CONCURRENCY: usize = 100;
/// The highest concurrency of a queue.
pub const MAX_CONCURRENCY: usize = 10_000;
/// The longest poll interval. An enqueue sends a notification only for jobs that are due within this time, so a
/// longer interval would be unsafe.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_hours(1);

const MAX_BLOCKING_THREADS: usize = 1_000;
/// The poll intervals that are allowed.
pub(crate) const POLL_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=MAX_POLL_INTERVAL;
/// The leases that are allowed.
pub(crate) const LEASES: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_hours(1);
/// The shutdown timeouts that are allowed.
pub(crate) const SHUTDOWN_TIMEOUTS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);

/// The bytes that are allowed for args.
pub(crate) const ARGS_MEMORY: RangeInclusive<usize> = 4 * MIB..=1024 * 1024 * MIB;

/// The limits of an output that are allowed, in bytes.
const MAX_OUTPUT_BYTES: RangeInclusive<usize> = 1024..=MIB;

const MIB: usize = 1024 * 1024;

/// A queue and how many of its jobs may run at once.
#[derive(Clone, Debug)]
pub(super) struct QueueConfig {
    pub name: Arc<str>,
    pub concurrency: usize,
    /// Whether completed jobs are kept.
    pub keep_completed: bool,
}

#[derive(Clone)]
pub(super) struct Config {
    pub queues: Vec<QueueConfig>,
    pub poll_interval: Duration,
    pub listen: bool,
    pub lease: Duration,
    pub shutdown_timeout: Duration,
    pub timeout: Option<Duration>,
    pub blocking_threads: usize,
    /// Bytes.
    pub args_memory: usize,
    /// Bytes.
    pub max_output_bytes: usize,
    pub retention: Retention,
    pub retry_policy: RetryPolicy,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            poll_interval: Duration::from_secs(1),
            listen: true,
            lease: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(10),
            timeout: None,
            blocking_threads: std::thread::available_parallelism().map_or(1, NonZero::get),
            args_memory: 256 * MIB,
            max_output_bytes: DEFAULT_MAX_OUTPUT_BYTES,
            retention: Retention::default(),
            retry_policy: RetryPolicy::default(),
        }
    }
}

impl Config {
    pub fn check(&self) -> Result<(), Error> {
        self.check_queues()?;
        self.check_ranges()
    }

    fn check_queues(&self) -> Result<(), Error> {
        if self.queues.is_empty() {
            return Err(Error::invalid("queues", "is empty: a worker serves at least one"));
        }
        let mut names = HashSet::new();
        for queue in &self.queues {
            check_queue(&queue.name)?;
            if !names.insert(&queue.name) {
                return Err(Error::invalid("queues", format!("names {:?} twice", queue.name)));
            }
            if !(1..=MAX_CONCURRENCY).contains(&queue.concurrency) {
                return Err(Error::invalid(
                    "concurrency",
                    format!("of queue {:?} is {}, not 1 to {MAX_CONCURRENCY}", queue.name, queue.concurrency),
                ));
            }
        }
        Ok(())
    }

    /// Checks all but the queues.
    pub fn check_ranges(&self) -> Result<(), Error> {
        if !(1..=MAX_BLOCKING_THREADS).contains(&self.blocking_threads) {
            let (threads, most) = (self.blocking_threads, MAX_BLOCKING_THREADS);
            return Err(Error::invalid("blocking_threads", format!("is {threads}, not 1 to {most}")));
        }
        in_range("args_memory", &self.args_memory, &ARGS_MEMORY)?;
        in_range("max_output_bytes", &self.max_output_bytes, &MAX_OUTPUT_BYTES)?;
        in_range("poll_interval", &self.poll_interval, &POLL_INTERVALS)?;
        in_range("lease", &self.lease, &LEASES)?;
        in_range("shutdown_timeout", &self.shutdown_timeout, &SHUTDOWN_TIMEOUTS)
    }

    /// How often the lease is renewed: often enough to miss two renewals, and every 5 s at least, because the ping
    /// also proves the listener.
    pub fn heartbeat_interval(&self) -> Duration {
        (self.lease / 3).min(Duration::from_secs(5))
    }

    pub fn lease_ms(&self) -> i32 {
        // At most an hour, as checked.
        i32::try_from(self.lease.as_millis()).unwrap_or(i32::MAX)
    }
}

fn in_range<T: PartialOrd + Debug>(field: &'static str, value: &T, allowed: &RangeInclusive<T>) -> Result<(), Error> {
    if allowed.contains(value) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("is {value:?}, not {:?} to {:?}", allowed.start(), allowed.end())))
}
