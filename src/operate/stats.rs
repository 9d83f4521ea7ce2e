//! Figures per queue.

use serde::Serialize;

use crate::database::Queryable;
use crate::{Error, store};

/// A count that is exact up to 10,000, where it is not `capped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The count, at most 10,000.
    pub value: i64,
    /// Whether there are or may be more than that.
    pub capped: bool,
}

/// The figures of one queue.
#[derive(Clone, Debug)]
pub struct QueueStats {
    /// The queue.
    pub queue: String,
    /// Jobs due and waiting that have not failed.
    pub available: Count,
    /// Jobs being run. Of a priority with more than 20,000 due jobs, those among the first
    /// 20,000: the claim takes jobs from the front, so running ones are there.
    pub running: Count,
    /// Jobs due later that have not failed.
    pub scheduled: Count,
    /// Jobs waiting after a failure.
    pub retryable: Count,
    /// How long the oldest due job has waited, in seconds; none when none waits.
    pub oldest_waiting_seconds: Option<f64>,
    /// Live workers that serve the queue.
    pub workers: i64,
    /// Whether it is paused.
    pub paused: bool,
}

/// The figures of every queue that has jobs, workers or settings.
///
/// # Errors
/// [`Error::Database`].
pub async fn stats(client: &impl Queryable) -> Result<Vec<QueueStats>, Error> {
    store::lookup::queue_stats(client.raw()).await
}
