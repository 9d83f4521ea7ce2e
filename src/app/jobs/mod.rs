//! The built-in jobs.
//!
//! An unknown field in their args is an error, so that a misspelt field does not silently get its default.

pub mod heartbeat;
pub mod orphan_file_cleanup;
pub mod probe;

pub use heartbeat::Heartbeat;
pub use orphan_file_cleanup::OrphanFileCleanup;
pub use probe::Probe;
