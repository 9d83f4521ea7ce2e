//! Maintenance that any worker does: partitions, vacuum, periodic jobs. There is no leader.
//!
//! - `partitions` creates the history's partitions ahead of time and drops expired ones
//! - `vacuum` vacuums the table of unfinished jobs, after a number of claimed jobs
//! - `periodic` enqueues the jobs of periodic kinds, by the `schedule` of each kind
//!
//! Promises: each task is safe on several workers at once; none delays claims or outcomes. Not here: decisions about
//! single jobs, except to enqueue ticks.

pub(super) mod partitions;
pub(super) mod periodic;
pub(super) mod schedule;
pub(super) mod vacuum;
