//! The data of a job: payload, names, priority, state, and its stored form. Also what operators see of queues and workers.
//!
//! Clients and workers share these types.
//!
//! Promises: a bad name, option or payload is refused when the job is built. Args are kept as their text, so that no
//! number loses digits. No connections and no SQL.

mod args;
mod checked_json;
mod defaults;
mod due;
mod enqueued;
mod filters;
mod name;
mod new_job;
mod priority;
mod queue_record;
mod record;
mod retention;
mod state;
mod stats;
mod stored_json;
mod stored_time;
mod time;
mod worker_record;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use args::{Args, MAX_ARGS_BYTES};
pub(crate) use checked_json::{CheckedJson, JsonUse};
pub use defaults::Defaults;
#[cfg(feature = "bin")]
pub(crate) use due::Due;
pub use enqueued::{EnqueueOutcome, Enqueued};
pub use filters::{FailedFilter, ListFilter};
pub use name::{MAX_KIND_LEN, MAX_QUEUE_LEN, MAX_UNIQUE_KEY_BYTES};
pub(crate) use name::{check_kind, check_queue, check_unique_key};
pub use new_job::NewJob;
pub use priority::Priority;
pub use queue_record::QueueRecord;
pub use record::{AttemptError, JobRecord};
pub use retention::Retention;
pub use state::State;
pub use stats::{Count, QueueStats};
pub(crate) use stored_json::StoredJson;
pub(crate) use stored_time::StoredTime;
pub use time::Time;
pub use worker_record::{ServedQueue, WorkerRecord};

/// The id of a job: unique in a database, increasing, never reused. Exception: after a failover to a standby that lacks
/// the newest commits, the promoted server assigns their ids again.
pub type JobId = i64;

/// Identifies a job, even if a failover lost it and its id was assigned again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct JobKey {
    pub id: JobId,
    pub created_at: DateTime<Utc>,
}

/// The queue of a job that sets none.
pub const DEFAULT_QUEUE: &str = "default";
/// The maximum number of attempts of a job that sets none.
pub const DEFAULT_MAX_ATTEMPTS: u32 = 25;
/// The highest `max_attempts` of a job.
pub const MAX_MAX_ATTEMPTS: u32 = 10_000;

/// The payload of a job, and its kind.
///
/// The client needs only this. The handler is registered on the worker.
///
/// ```
/// use postrider::Job;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct SendMail { to: String }
///
/// impl Job for SendMail {
///     const KIND: &'static str = "send_mail";
/// }
/// ```
///
/// The other constants are defaults of the kind. Options of the call override them, and they override the defaults of
/// the client or worker.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the kind: 1 to 128 of `A-Z a-z 0-9 _ . / -`. The first is a letter, a digit or `_`.
    const KIND: &'static str;
    /// The queue of its jobs. Default: the client's, else `default`.
    const QUEUE: Option<&'static str> = None;
    /// The priority of its jobs. Default: the client's, else [`Priority::Normal`].
    const PRIORITY: Option<Priority> = None;
    /// The maximum number of attempts of a job, 1 to 10,000. Default: the client's, else 25.
    const MAX_ATTEMPTS: Option<u32> = None;
    /// The timeout of one attempt. Default: the worker's, else none.
    const TIMEOUT: Option<Duration> = None;
    /// Whether completed jobs are kept in the history. Default: as the worker keeps those of their queue, else yes.
    ///
    /// Without, a completed job is deleted: it costs less, and is in no list, count or read by id afterwards. Nor is its
    /// output. Cancelled and discarded jobs are kept all the same. So is one that its handler has completed in a
    /// transaction of its own, because only the history tells whether that transaction was committed.
    const KEEP_COMPLETED: Option<bool> = None;

    /// The retry delay after `attempt` (1 for the first) has failed. Default: the worker's policy, else `attempt⁴`
    /// seconds ± 10 %.
    #[must_use]
    fn retry_after(attempt: u32) -> Option<Duration> {
        let _ = attempt;
        None
    }
}
