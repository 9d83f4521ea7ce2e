//! The built-in jobs.
//!
//! Promises: each may run again after a crash, because it is idempotent. An unknown field in the args is an error, so
//! that a misspelt field does not silently get its default.

pub mod heartbeat;
pub mod orphan_file_cleanup;
pub mod probe;

pub use heartbeat::Heartbeat;
pub use orphan_file_cleanup::OrphanFileCleanup;
pub use probe::Probe;
