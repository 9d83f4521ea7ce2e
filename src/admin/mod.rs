//! Administration: list, stats, queues, workers, retry, cancel, pause.
//!
//! Promises: no list or count reads more than it returns; pages have stable cursors; a change that the job's state
//! forbids is refused with the reason.
//!
//! It never touches the handler of a running job: a cancel is a request that the worker carries out.

mod control;
mod list;
mod queues;
mod stats;
mod workers;

pub use control::{RetriedMany, cancel, pause, resume, retry, retry_failed, retry_failed_many};
pub use list::{failed, find, list, now};
pub use queues::queues;
pub use stats::stats;
pub use workers::workers;

pub use crate::job::{Count, FailedFilter, ListFilter, QueueRecord, QueueStats, ServedQueue, WorkerRecord};
