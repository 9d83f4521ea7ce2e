//! What both programs share: environment, log, and messages on standard error. Knows nothing of jobs.

pub(crate) mod environment;
mod last_words;
pub mod logging;
pub(crate) mod visible;

pub(crate) use last_words::tell;
