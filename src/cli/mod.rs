//! The command line `worker`.

pub mod logging;
