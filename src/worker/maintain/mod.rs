//! Upkeep that any worker does: partitions, vacuum, periodic jobs. There is no leader.
//!
//! - `partitions` makes the history's partitions ahead and drops expired ones
//! - `vacuum` vacuums the table of unfinished jobs by the number of finished ones
//! - `periodic` enqueues by the clock, after the `schedule` of each kind
//!
//! Promises: each task is safe on several workers at once; none delays claims or outcomes. Not here: decisions about
//! single jobs, except to enqueue ticks.

pub(super) mod partitions;
pub(super) mod periodic;
pub(super) mod schedule;
pub(super) mod vacuum;
