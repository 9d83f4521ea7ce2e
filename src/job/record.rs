//! A stored job, and its JSON form (`docs/CONTRACT.md`).

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{JobId, State};

/// One job, unfinished or finished, as in the view `postrider.jobs`.
#[derive(Clone, Debug, Serialize)]
pub struct JobRecord {
    /// The job's id.
    pub id: JobId,
    /// The kind, which determines the handler.
    pub kind: String,
    /// The queue.
    pub queue: String,
    /// 1 (urgent) to 4 (idle).
    pub priority: i32,
    /// The state.
    pub state: State,
    /// The payload.
    pub args: Box<RawValue>,
    /// Attempts used, including a running one.
    pub attempt: i32,
    /// The maximum number of attempts. If the last one fails, the job is discarded.
    pub max_attempts: i32,
    /// The due time.
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
    /// The value that the handler returned. None while the job is unfinished, and if the handler returned none.
    pub output: Option<Box<RawValue>>,
}

/// One entry of [`JobRecord::errors`].
#[derive(Clone, Debug, serde::Deserialize)]
pub struct AttemptError {
    /// The attempt that failed, 1 for the first.
    pub attempt: i32,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// The error message, at most 1 KiB.
    pub error: String,
    /// The trace of a panic. Only the latest failure has one.
    pub trace: Option<String>,
}

impl JobRecord {
    /// The bytes of all JSON in it, which are the largest part of it.
    #[cfg(feature = "bin")]
    pub(crate) fn json_bytes(&self) -> usize {
        let output = self.output.as_ref().map_or(0, |output| output.get().len());
        self.args.get().len() + self.errors.get().len() + output
    }

    /// The output as a `T`, if there is one.
    ///
    /// # Errors
    /// If it does not decode as `T`.
    pub fn output_as<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        self.output.as_ref().map(|output| serde_json::from_str(output.get())).transpose()
    }

    /// The last five failures, oldest first. Empty if the column has another format.
    ///
    /// ```no_run
    /// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
    /// if let Some(job) = postrider::admin::find(&client, 7).await? {
    ///     for failure in job.attempt_errors() {
    ///         println!("attempt {} at {}: {}", failure.attempt, failure.at, failure.error);
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn attempt_errors(&self) -> Vec<AttemptError> {
        serde_json::from_str(self.errors.get()).unwrap_or_default()
    }
}
