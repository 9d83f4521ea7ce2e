//! The jobs in the box.
//!
//! An unknown field in their arguments is an error, so that a misspelt one is not silently the
//! default.

pub mod heartbeat;
pub mod orphan_file_cleanup;
pub mod probe;

pub use heartbeat::Heartbeat;
pub use orphan_file_cleanup::OrphanFileCleanup;
pub use probe::Probe;
