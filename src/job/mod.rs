//! What a job is: its payload, name, priority, state and stored form.
//!
//! These types are shared by producer and worker. They know nothing of
//! connections, and nothing here runs SQL.

mod args;
mod name;
mod priority;
mod record;
mod state;
mod stored_time;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use args::StoredJson;
pub use args::{Args, MAX_ARGS_BYTES};
pub use name::{MAX_KIND_LEN, MAX_QUEUE_LEN, MAX_UNIQUE_KEY_BYTES};
pub(crate) use name::{check_kind, check_queue, check_unique_key};
pub use priority::Priority;
pub use record::{AttemptError, JobRecord};
pub use state::State;
pub(crate) use stored_time::StoredTime;

/// The id of a job. Unique within a database, rising, never used again.
pub type JobId = i64;

/// The queue of a job that names none.
pub const DEFAULT_QUEUE: &str = "default";
/// The attempts of a job that names no number.
pub const DEFAULT_MAX_ATTEMPTS: u32 = 25;
/// The most attempts that a job may ask for.
pub const MAX_MAX_ATTEMPTS: u32 = 10_000;

/// A payload and the kind of job that carries it.
///
/// The producer needs only this; the handler is registered on the worker.
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
/// The other constants are defaults of the kind: an option given with the call
/// goes before them, and they go before the defaults of the client or worker.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Name of the kind: 1 to 128 of `A-Z a-z 0-9 _ . / -`, the first a letter, digit or `_`.
    const KIND: &'static str;
    /// The queue of its jobs. Default: the client's, else `default`.
    const QUEUE: Option<&'static str> = None;
    /// The priority of its jobs. Default: the client's, else [`Priority::Normal`].
    const PRIORITY: Option<Priority> = None;
    /// How many attempts a job has, 1 to 10,000. Default: the client's, else 25.
    const MAX_ATTEMPTS: Option<u32> = None;
    /// How long one attempt may take. Default: the worker's, else no limit.
    const TIMEOUT: Option<Duration> = None;

    /// The delay before the attempt after `attempt`, which has just failed (1 for the first).
    /// Default: the worker's policy, else `attempt⁴` seconds ± 10 %.
    #[must_use]
    fn retry_after(attempt: u32) -> Option<Duration> {
        let _ = attempt;
        None
    }
}
