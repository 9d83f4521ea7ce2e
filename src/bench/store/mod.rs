//! The only place that runs the SQL of the bench: one function per file of `sql/queries/bench/`.
//!
//! Promises: values are typed parameters. The only text inserted into a statement is the validated name of a scratch
//! database. It makes no decisions.

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
