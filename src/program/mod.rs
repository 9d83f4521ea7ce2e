//! What both programs share: environment, log, and messages on standard error.
//!
//! Promises: all variables are read in the same way. Neither the log nor a message blocks the program. It knows nothing
//! of jobs.

pub(crate) mod environment;
pub mod logging;
pub(crate) mod open_files;
mod stderr;
pub(crate) mod visible;

pub(crate) use stderr::tell;
