//! A job as it is stored and shown: the JSON form of the contract.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{JobId, State};

/// One job, unfinished or finished, as the view `postrider.jobs` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct JobRecord {
    /// The job's id.
    pub id: JobId,
    /// The kind, which chooses the handler.
    pub kind: String,
    /// The queue it is in.
    pub queue: String,
    /// 1 (urgent) to 4 (idle).
    pub priority: i32,
    /// Where it is in its life.
    pub state: State,
    /// The payload.
    pub args: Box<RawValue>,
    /// Attempts used, a running one included.
    pub attempt: i32,
    /// The failure of this attempt discards the job.
    pub max_attempts: i32,
    /// Not claimed before.
    pub run_at: DateTime<Utc>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When its latest attempt was claimed.
    pub attempted_at: Option<DateTime<Utc>>,
    /// The worker of its latest attempt.
    pub attempted_by: Option<Uuid>,
    /// When it was completed, cancelled or discarded.
    pub finished_at: Option<DateTime<Utc>>,
    /// The latest failure's message.
    pub error: Option<String>,
    /// The last five failures, oldest first: `[{attempt, at, error, trace}]`.
    pub errors: Box<RawValue>,
}

/// One entry of [`JobRecord::errors`].
#[derive(Clone, Debug, serde::Deserialize)]
pub struct AttemptError {
    /// The attempt that failed, 1 for the first.
    pub attempt: i32,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// What it said, at most 1 KiB.
    pub error: String,
    /// The trace of a panic; only the latest failure keeps it.
    pub trace: Option<String>,
}

impl JobRecord {
    /// The last five failures, oldest first; empty where the column holds something else.
    #[must_use]
    pub fn attempt_errors(&self) -> Vec<AttemptError> {
        serde_json::from_str(self.errors.get()).unwrap_or_default()
    }
}
