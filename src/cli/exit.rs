//! The exit statuses of the commands: the whole list.
//!
//! Never 130 or 143: a command that a signal ends has one of these.

/// Success. Also for a `run` that a signal ended and that drained in time, and for output that nobody reads.
pub const DONE: u8 = 0;
/// Failure: a database error, a refused retry, or a `run` that abandoned jobs.
pub const FAILED: u8 = 1;
/// Wrong usage. Nothing was done.
pub const USAGE: u8 = 2;
