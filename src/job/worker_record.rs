//! A worker process, as operators see it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

/// One worker process, as in the view `postrider.workers`.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerRecord {
    /// Its id, which a job has as `attempted_by`. A worker that was declared dead gets another one.
    pub id: Uuid,
    /// The name of its host.
    pub host: String,
    /// Its process id there.
    pub pid: i32,
    /// The release of this crate that it runs.
    pub version: String,
    /// The queues that it serves.
    pub queues: Vec<ServedQueue>,
    /// When the process first registered.
    pub started_at: DateTime<Utc>,
    /// Its latest heartbeat.
    pub heartbeat_at: DateTime<Utc>,
    /// Whether its lease is in force. If not, its jobs are about to be rescued, and then it is gone.
    pub live: bool,
}

/// A queue of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServedQueue {
    /// The queue.
    pub queue: String,
    /// How many of its jobs the worker runs at the same time.
    pub concurrency: i32,
}
