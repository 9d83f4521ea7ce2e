//! Looking at jobs and steering them: what an operator does, from the command line or over HTTP.
//!
//! Promises: no list and no figure ever counts or holds more than it shows; pages have stable
//! cursors; every change is refused with a reason where a job's state forbids it.

mod control;
mod list;
mod stats;

pub use control::{cancel, pause, resume, retry, retry_failed};
pub use list::{FailedFilter, ListFilter, failed, find, list, now};
pub use stats::{Count, QueueStats, stats};
