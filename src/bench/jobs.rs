//! The measured jobs: they do nothing, or wait.

use serde::{Deserialize, Serialize};

use super::store::jobs::BareJob;
use crate::error::Error;
use crate::job::NewJob;
use crate::job::{Args, Job, Priority};
use crate::job::{DEFAULT_MAX_ATTEMPTS, DEFAULT_QUEUE};

/// A job that does nothing, or waits if the setup of the worker process says so.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Noop {
    /// Makes the args large.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    padding: String,
}

impl Job for Noop {
    const KIND: &'static str = "noop";
}

/// Returns `count` jobs to enqueue.
pub(super) fn noops(count: u64) -> impl Iterator<Item = Result<NewJob, Error>> {
    padded_noops(count, 0)
}

/// As [`noops`], with about `bytes` bytes of args each.
pub(super) fn padded_noops(count: u64, bytes: usize) -> impl Iterator<Item = Result<NewJob, Error>> {
    let job = Noop { padding: "x".repeat(bytes) };
    (0..count).map(move |_| NewJob::of(&job))
}

/// Returns the row that `enqueue` writes for a [`Noop`], for inserts without `enqueue`.
pub(super) fn bare(args: &Args) -> BareJob<'_> {
    BareJob {
        kind: Noop::KIND,
        args,
        queue: DEFAULT_QUEUE,
        priority: Priority::default().number(),
        max_attempts: i16::try_from(DEFAULT_MAX_ATTEMPTS).unwrap_or(i16::MAX),
    }
}
