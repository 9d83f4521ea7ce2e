//! The events of a worker.
//!
//! Data only. A release may add events, so the enum is `non_exhaustive`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::job::{JobId, State};

/// Something that a worker has done or noticed.
///
/// ```
/// use postrider::observe::Event;
///
/// fn is_trouble(event: &Event) -> bool {
///     matches!(event, Event::JobRetried { .. } | Event::ListenerLost | Event::DeclaredDead { .. })
/// }
/// assert!(is_trouble(&Event::ListenerLost) && !is_trouble(&Event::ListenerRestored));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The worker is registered, and claims jobs from now on.
    WorkerReady {
        /// Its id.
        worker_id: Uuid,
    },
    /// A claim of jobs of a queue was answered.
    ClaimFinished {
        /// The queue.
        queue: String,
        /// The most jobs that it asked for.
        asked: usize,
        /// The jobs that it got.
        got: usize,
        /// How long the statement took, for all queues that it claimed from.
        took: Duration,
    },
    /// A handler starts.
    AttemptStarted {
        /// The job.
        job_id: JobId,
        /// Its kind.
        kind: &'static str,
        /// Which attempt this is, 1 for the first.
        attempt: u32,
    },
    /// A job has finished, and that is recorded.
    JobFinished {
        /// The job.
        job_id: JobId,
        /// Its kind.
        kind: String,
        /// The last attempt.
        attempt: u32,
        /// Completed, cancelled or discarded.
        state: State,
    },
    /// An attempt has failed, and its job will be retried.
    JobRetried {
        /// The job.
        job_id: JobId,
        /// Its kind.
        kind: &'static str,
        /// The attempt that failed.
        attempt: u32,
        /// When the job is due again. None if the answer of the database was lost.
        next_run_at: Option<DateTime<Utc>>,
    },
    /// A job was snoozed by its handler.
    JobSnoozed {
        /// The job.
        job_id: JobId,
        /// Its kind.
        kind: &'static str,
        /// When it is due again. None if the answer of the database was lost.
        next_run_at: Option<DateTime<Utc>>,
    },
    /// A claimed job was returned: not started, or cut off by the shutdown.
    JobReleased {
        /// The job.
        job_id: JobId,
        /// Its kind.
        kind: &'static str,
    },
    /// A rescue has returned the job of a dead worker to its queue, or discarded it. After a discarded job,
    /// [`Event::JobFinished`] follows.
    JobRescued {
        /// The job.
        job_id: JobId,
        /// Its kind.
        kind: String,
        /// The attempt that was lost.
        attempt: u32,
    },
    /// An outcome was refused because another attempt owns the job.
    AttemptStale {
        /// The job.
        job_id: JobId,
        /// Its kind.
        kind: &'static str,
        /// The attempt.
        attempt: u32,
    },
    /// The worker receives notifications, for the first time or again.
    ListenerRestored,
    /// It does not receive notifications any more, and polls.
    ListenerLost,
    /// Its peers have declared it dead. It has registered under a new id.
    DeclaredDead {
        /// The new id.
        worker_id: Uuid,
        /// The former one.
        former_worker_id: Uuid,
    },
    /// Another server answers than before: a restart or a failover.
    ServerChanged {
        /// When the new one was started.
        server_started_at: DateTime<Utc>,
    },
    /// The stream was read too slowly and has missed events.
    Missed {
        /// How many.
        count: u64,
    },
}
