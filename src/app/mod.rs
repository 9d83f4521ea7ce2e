//! The example application: boards ("tablos") that carry files, the files in an object store, and
//! the jobs in the box that keep them tidy.
//!
//! A user of the queue, as any service would be: it reaches the queue only through the public
//! face of the crate, and the queue knows nothing of it. What keeps rows and objects together over
//! every crash is told in [`jobs::orphan_file_cleanup`].

mod error;
pub mod files;
pub(crate) mod idempotency;
pub mod jobs;
pub mod object_store;
mod store;
pub mod tablos;
mod text;

use std::time::Duration;

pub use error::AppError;
pub use jobs::{Heartbeat, OrphanFileCleanup, Probe};
pub use object_store::{ObjectStore, ObjectStoreConfig};

use crate::Worker;

/// How often the whole fleet looks for orphans that nobody stamped.
pub const CLEANUP_INTERVAL: Duration = Duration::from_hours(1);

/// The state that the worker's handlers share.
#[derive(Clone, Debug)]
pub struct App {
    /// Where the files are.
    pub object_store: ObjectStore,
}

/// Gives `worker` the jobs in the box: a heartbeat every `heartbeat_interval` and at its start, the
/// orphan cleanup every hour, the probe on demand.
#[must_use]
pub fn register(worker: Worker<App>, heartbeat_interval: Duration) -> Worker<App> {
    worker
        .handle(jobs::heartbeat::handle)
        .every::<Heartbeat>(heartbeat_interval)
        .at_start::<Heartbeat>()
        .handle(jobs::orphan_file_cleanup::handle)
        .every::<OrphanFileCleanup>(CLEANUP_INTERVAL)
        .handle(jobs::probe::handle)
}
