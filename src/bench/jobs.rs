//! The measured jobs: they do nothing, or wait.

use serde::{Deserialize, Serialize};

use super::store::jobs::BareJob;
use crate::error::Error;
use crate::job::NewJob;
use crate::job::{Args, Job, Priority};
use crate::job::{DEFAULT_MAX_ATTEMPTS, DEFAULT_QUEUE};

/// A job that does nothing, or waits if the setup of the worker process says so.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Noop {}

impl Job for Noop {
    const KIND: &'static str = "noop";
}

/// Returns `count` jobs to enqueue.
pub(super) fn noops(count: u64) -> impl Iterator<Item = Result<NewJob, Error>> {
    (0..count).map(|_| NewJob::of(&Noop {}))
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
