//! The example application: boards ("tablos"), their files in an object store, and the built-in jobs.
//!
//! Promises: it enqueues, handles and administers jobs only through the public API, like any other service. The queue
//! does not depend on it. No file is served without its object, and no object stays forever without a row:
//! [`jobs::orphan_file_cleanup`] explains how, across crashes.

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

use crate::worker::Worker;

/// How often the fleet scans for orphans without a stamp.
pub const CLEANUP_INTERVAL: Duration = Duration::from_hours(1);

/// The shared state of the worker's handlers.
#[derive(Clone, Debug)]
pub struct App {
    /// The object store.
    pub object_store: ObjectStore,
}

/// Registers the built-in jobs with `worker`: a heartbeat at its start and every `heartbeat_interval`, the orphan
/// cleanup every hour, the probe on demand.
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
