//! The exit statuses of the commands: the whole list.
//!
//! Never 130 or 143: a command that a signal ends says one of these.

/// Done. Also a `run` that a signal ended and that drained in time, and output nobody reads on.
pub const DONE: u8 = 0;
/// Something failed: the database, a job that may not be retried, a `run` that had to abandon
/// jobs.
pub const FAILED: u8 = 1;
/// The command was not understood. Nothing was done.
pub const USAGE: u8 = 2;
