//! Running jobs.
//!
//! ```text
//!  listener ── wake ──▶ fetcher ──▶ executor ──▶ finisher
//!     │                    ▲            ▲            │
//!  life lock             lease       control        wake (retries)
//! ```
//!
//! - `fetcher` claims due jobs, `executor` starts each as an `attempt`, `finisher` records outcomes
//! - `listener` hears of new jobs and holds the lock by which others know that this worker lives
//! - `isolation` runs jobs alone that workers have died with
//! - `lease` gives the heartbeat, `rescue` takes back the jobs of dead workers
//! - `control` carries out requests to cancel, `periodic` enqueues by the clock, `upkeep` keeps the
//!   history, `pulse` keeps the runtime awake where a handler blocks its thread
//!
//! Promises: at most the configured number of jobs at once; every write about a running job
//! carries its fence; every wait is bounded and ends on shutdown; no passing fault of the database
//! ends a worker. The worker knows nothing of what its jobs do.

mod appetite;
mod attempt;
mod bounds;
mod builder;
mod context;
mod control;
mod database_clock;
mod executor;
mod fetcher;
mod finisher;
mod held;
mod isolation;
mod job_error;
mod lanes;
mod lease;
mod listener;
mod metrics;
mod outcome;
mod panic_trace;
mod periodic;
mod portion;
mod prefetch;
mod pulse;
mod record;
mod registry;
mod report;
mod rescan;
mod rescue;
mod retention;
mod retry_policy;
mod run;
mod schedule;
mod settings;
mod shared;
mod shutdown;
mod standing;
mod text;
mod unseen;
mod upkeep;
mod vacuum;
mod vital;
mod wake;

pub use builder::Worker;
pub use context::Context;
pub use job_error::JobError;
pub use metrics::Metrics;
pub use retention::Retention;
pub use retry_policy::MAX_RETRY_DELAY;
pub use run::Summary;
pub use settings::{DEFAULT_CONCURRENCY, MAX_CONCURRENCY, MAX_POLL_INTERVAL};
pub use shutdown::Shutdown;
