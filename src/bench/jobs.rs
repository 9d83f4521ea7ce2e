//! The jobs that are measured: they do nothing, or wait.

use serde::{Deserialize, Serialize};

use super::store::jobs::BareJob;
use crate::job::{DEFAULT_MAX_ATTEMPTS, DEFAULT_QUEUE};
use crate::{Args, Error, Job, NewJob, Priority};

/// A job whose handler does what the worker process was started to do, by default nothing.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Noop {}

impl Job for Noop {
    const KIND: &'static str = "noop";
}

/// So many jobs to be added.
pub(super) fn noops(count: u64) -> impl Iterator<Item = Result<NewJob, Error>> {
    (0..count).map(|_| NewJob::of(&Noop {}))
}

/// The row that `enqueue` makes of a [`Noop`], to be added without it.
pub(super) fn bare(args: &Args) -> BareJob<'_> {
    BareJob {
        kind: Noop::KIND,
        args,
        queue: DEFAULT_QUEUE,
        priority: Priority::default().number(),
        max_attempts: i32::try_from(DEFAULT_MAX_ATTEMPTS).unwrap_or(i32::MAX),
    }
}
