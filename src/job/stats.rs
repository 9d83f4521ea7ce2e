//! The stats of a queue.

use serde::Serialize;

/// A count. Exact up to 10,000, unless it is `capped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The count, at most 10,000.
    pub value: i64,
    /// Whether the true count may be higher.
    pub capped: bool,
}

/// The stats of one queue.
#[derive(Clone, Debug)]
pub struct QueueStats {
    /// The queue.
    pub queue: String,
    /// Jobs that are due and have not failed.
    pub available: Count,
    /// Running jobs. In a priority with more than 20,000 due jobs, only the first 20,000 are searched: claims take
    /// jobs from the front, so running ones are among these.
    pub running: Count,
    /// Jobs that are due later and have not failed.
    pub scheduled: Count,
    /// Jobs that wait after a failure.
    pub retryable: Count,
    /// The time that the oldest due job has waited, in seconds. None if no job waits.
    pub oldest_waiting_seconds: Option<f64>,
    /// Live workers that serve the queue.
    pub workers: i64,
    /// Whether it is paused.
    pub paused: bool,
}
