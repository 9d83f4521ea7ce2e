//! Why a run of the bench ended without all its figures.

use std::io;

use super::Scenario;
use crate::Error;

/// Why there are no figures, or not all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The role may not make the scratch database.
    #[error(
        "role {role:?} may not create the scratch database to measure in: give it that right with \
         ALTER ROLE … CREATEDB, or name another role in DATABASE_URL"
    )]
    MayNotCreate {
        /// The role that `DATABASE_URL` names.
        role: String,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] Error),
    /// A worker process could not be started, watched or ended.
    #[error("a worker process to be measured: {0}")]
    Process(#[from] io::Error),
    /// A worker process ended before it was told to, or badly.
    #[error("a worker process to be measured ended with {status}: {said}")]
    WorkerEnded {
        /// Its exit status.
        status: String,
        /// The last that it said.
        said: String,
    },
    /// Nothing came of a wait.
    #[error(
        "{what} did not come about within {seconds} s: see in pg_stat_activity what holds it up, or ask for fewer --jobs"
    )]
    Stalled {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        seconds: u64,
    },
    /// The jobs were not all finished, each once. A defect.
    #[error(
        "{}: of {enqueued} jobs {finished} were finished ({distinct} different ones, {completed} completed): each \
         should have been, once; this is a defect of the queue, please report it",
        scenario.name()
    )]
    NotOnce {
        /// Where it was seen.
        scenario: Scenario,
        /// How many were enqueued.
        enqueued: u64,
        /// How many ends the history has.
        finished: i64,
        /// Of how many jobs.
        distinct: i64,
        /// How many ended well.
        completed: i64,
    },
    /// Jobs were enqueued whose start was not seen, or the reverse.
    #[error("{}: {count} jobs did not start exactly once; this is a defect of the queue, please report it", scenario.name())]
    NotStarted {
        /// Where it was seen.
        scenario: Scenario,
        /// How many.
        count: usize,
    },
    /// A histogram of latencies.
    #[error("no histogram: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
    /// A task that adds jobs panicked: a defect.
    #[error("a task of the bench ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A signal ended it.
    #[error("interrupted by a signal; the scratch database is gone")]
    Interrupted,
}
