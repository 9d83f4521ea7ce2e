//! Running jobs.
//!
//! ```text
//!   listener ── wake ──▶ fetcher ──▶ executor ──▶ finisher
//!      │                   ▲            ▲            │
//!   liveness lock        lease        cancel        wake (retries)
//! ```
//!
//! - `claim`: the fetcher claims due jobs
//! - `execute`: the executor starts each as an attempt
//! - `finish`: the finisher records outcomes
//! - `liveness`: the heartbeat, the listener, the rescue of dead workers' jobs, failovers
//! - `maintain`: partitions, vacuum, periodic jobs
//! - `inline` runs jobs one at a time, without the tasks above, for tests
//! - `supervisor` starts all of them and ends them in order
//!
//! Promises: never more running jobs than configured; every write about a running job carries its fence; every wait
//! is bounded and ends on shutdown; no transient error of the database ends a worker. The worker knows nothing of
//! what its jobs do.

mod adaptive_batch;
mod builder;
mod claim;
mod complete_in;
mod config;
mod context;
mod critical_task;
mod error_text;
mod execute;
mod extensions;
mod finish;
mod handler;
mod handles;
mod in_flight;
#[cfg(feature = "testing")]
pub(crate) mod inline;
mod job_error;
mod liveness;
mod maintain;
mod metrics;
mod middleware;
mod outcome;
mod registry;
mod shutdown;
mod supervisor;

pub use builder::Worker;
pub use complete_in::CompleteIn;
pub use config::{DEFAULT_CONCURRENCY, MAX_CONCURRENCY, MAX_POLL_INTERVAL};
#[cfg(feature = "bin")]
pub(crate) use config::{LEASES, POLL_INTERVALS, SHUTDOWN_TIMEOUTS};
pub use context::Context;
#[cfg(feature = "bin")]
pub(crate) use execute::panic_trace::is_in_attempt;
pub use execute::retry_policy::MAX_RETRY_DELAY;
pub use handler::DEFAULT_MAX_OUTPUT_BYTES;
#[cfg(feature = "testing")]
pub(crate) use inline::{Due, Fault, InlineWorker, Performed};
pub use job_error::JobError;
#[cfg(feature = "bin")]
pub(crate) use maintain::schedule::MIN_INTERVAL;
pub use metrics::Metrics;
pub use middleware::{HandlerOutput, Next};
pub use shutdown::Shutdown;
pub use supervisor::Summary;
