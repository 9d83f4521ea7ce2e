//! The program `worker`.

mod bad_input;
mod bench;
mod commands;
mod log_reader;
mod run;
