//! The program `web`.

mod browsers;
mod connection_limits;
mod database;
mod edited_rows;
mod files;
mod jobs;
mod limits;
mod waits;
