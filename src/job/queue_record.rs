//! A queue, as operators see it.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// One queue that has unfinished jobs, workers or settings, as in the view `postrider.queues`. Its counts of jobs are
/// [`QueueStats`](super::QueueStats).
#[derive(Clone, Debug, Serialize)]
pub struct QueueRecord {
    /// The queue.
    pub queue: String,
    /// When it was paused. None if it is not paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// Live workers that serve it.
    pub workers: i64,
    /// How many of its jobs these workers run at the same time, at most.
    pub concurrency: i64,
}
