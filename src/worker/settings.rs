//! What a worker is told before it runs, checked once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Retention;
use super::retry_policy::RetryPolicy;
use crate::Error;
use crate::job::check_queue;

/// The concurrency of a queue that names none.
pub const DEFAULT_CONCURRENCY: usize = 100;
/// The highest concurrency of a queue.
pub const MAX_CONCURRENCY: usize = 10_000;
/// The longest poll interval. Enqueue announces jobs that are due within this time, so that no
/// longer one would be safe.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_hours(1);

const MIN_POLL_INTERVAL: Duration = Duration::from_millis(10);
const MIN_LEASE: Duration = Duration::from_secs(2);
const MAX_LEASE: Duration = Duration::from_hours(1);
const MAX_SHUTDOWN_TIMEOUT: Duration = Duration::from_hours(1);

/// A queue and how many of its jobs may run at once.
#[derive(Clone, Debug)]
pub(super) struct QueueSettings {
    pub name: Arc<str>,
    pub concurrency: usize,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub queues: Vec<QueueSettings>,
    pub poll_interval: Duration,
    pub listen: bool,
    pub lease: Duration,
    pub shutdown_timeout: Duration,
    pub timeout: Option<Duration>,
    pub retention: Retention,
    pub retry_policy: RetryPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            poll_interval: Duration::from_secs(1),
            listen: true,
            lease: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(10),
            timeout: None,
            retention: Retention::default(),
            retry_policy: RetryPolicy::default(),
        }
    }
}

impl Settings {
    pub fn check(&self) -> Result<(), Error> {
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
        in_range("poll_interval", self.poll_interval, MIN_POLL_INTERVAL, MAX_POLL_INTERVAL)?;
        in_range("lease", self.lease, MIN_LEASE, MAX_LEASE)?;
        in_range("shutdown_timeout", self.shutdown_timeout, Duration::ZERO, MAX_SHUTDOWN_TIMEOUT)
    }

    /// How often the lease is renewed: often enough to miss two, and never rarer than 5 s, since
    /// the same round trip proves that the listener hears.
    pub fn heartbeat_interval(&self) -> Duration {
        (self.lease / 3).min(Duration::from_secs(5))
    }

    pub fn lease_ms(&self) -> i32 {
        // At most an hour, as checked.
        i32::try_from(self.lease.as_millis()).unwrap_or(i32::MAX)
    }
}

fn in_range(field: &'static str, value: Duration, min: Duration, max: Duration) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("is {value:?}, not {min:?} to {max:?}")))
}
