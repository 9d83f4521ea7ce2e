//! Keeps this worker's lease and detects dead peers.
//!
//! - `lease` sends the heartbeat
//! - `listener` holds the LISTEN connection, and the liveness lock on it
//! - `rescue` returns the jobs of dead workers to their queues
//! - `failover` detects a change of the server and reconciles the running jobs with it
//!
//! Promises: no peer takes a live worker's job; a dead worker's jobs run again within its lease, or within 2 s if its
//! liveness lock is found free.
//!
//! It starts no job, and changes the rows of no jobs except those of dead workers.

pub(super) mod failover;
pub(super) mod lease;
pub(super) mod listener;
pub(super) mod rescue;
