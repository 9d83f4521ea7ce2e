//! The only place that runs the SQL of the bench: one function for each file of
//! `sql/queries/bench/`.
//!
//! Promises: values travel as typed parameters; the only text put into a statement is the name of a
//! scratch database, which is checked to be one. Decides nothing: that is for its callers.

pub(super) mod jobs;
pub(super) mod scratch;
pub(super) mod server;

/// The text of a statement in `sql/queries/bench/`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/queries/bench/", $name, ".sql"))
    };
}
use sql;
