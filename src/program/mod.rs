//! What both programs share: environment, log, and messages on standard error.
//!
//! Promises: no value of a variable appears in an error, because it may be a secret. Neither the log nor a message
//! blocks the program. It knows nothing of jobs.

pub(crate) mod environment;
mod last_words;
pub mod logging;
pub(crate) mod visible;

pub(crate) use last_words::tell;
