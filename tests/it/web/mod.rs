//! The program `web`.

mod browsers;
mod connection_limits;
mod database;
mod files;
mod jobs;
mod limits;
