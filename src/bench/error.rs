//! Errors of a bench run.

use std::io;

use super::Scenario;
use crate::error::Error;

/// An error that ended a run before all its figures were measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The role may not create the scratch database.
    #[error(
        "role {role:?} may not create the scratch database to measure in: give it that right with \
         ALTER ROLE … CREATEDB, or name another role in DATABASE_URL"
    )]
    MayNotCreate {
        /// The role in `DATABASE_URL`.
        role: String,
    },
    /// An error of the database.
    #[error(transparent)]
    Database(#[from] Error),
    /// A worker process could not be started, monitored or stopped.
    #[error("a worker process to be measured: {0}")]
    Process(#[from] io::Error),
    /// A worker process ended unexpectedly or with an error.
    #[error("a worker process to be measured ended with {status}: {last_line}")]
    WorkerEnded {
        /// Its exit status.
        status: String,
        /// The last line of its standard error.
        last_line: String,
    },
    /// A wait timed out.
    #[error(
        "{what} did not come about within {seconds} s: see in pg_stat_activity what holds it up, or ask for fewer --jobs"
    )]
    Stalled {
        /// What was waited for.
        what: &'static str,
        /// The time limit.
        seconds: u64,
    },
    /// Some jobs were not finished exactly once. A defect of the queue.
    #[error(
        "{}: of {enqueued} jobs {finished} were finished ({distinct} different ones, {completed} completed): each \
         should have been, once; this is a defect of the queue, please report it",
        scenario.name()
    )]
    NotOnce {
        /// The scenario that failed.
        scenario: Scenario,
        /// Jobs enqueued.
        enqueued: u64,
        /// Rows of the history.
        finished: i64,
        /// Distinct jobs among them.
        distinct: i64,
        /// Completed jobs among them.
        completed: i64,
    },
    /// Some enqueued jobs did not report a start, or the reverse.
    #[error("{}: {count} jobs did not start exactly once; this is a defect of the queue, please report it", scenario.name())]
    NotStarted {
        /// The scenario that failed.
        scenario: Scenario,
        /// The number of such jobs.
        count: usize,
    },
    /// A histogram could not be created.
    #[error("no histogram: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
    /// A task that enqueues jobs panicked. A defect of the bench.
    #[error("a task of the bench ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A signal ended the run.
    #[error("interrupted by a signal; the scratch database is gone")]
    Interrupted,
}
