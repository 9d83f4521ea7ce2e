//! The only place that runs the queue's SQL: one function for each file of `sql/queries/`.
//!
//! Promises: values travel as parameters, never as text of a statement; every statement names the
//! types of its parameters, so that it needs no named statement on the server and passes through
//! a transaction pooler. Decides nothing about jobs: that is for its callers.

pub(crate) mod claim;
pub(crate) mod control;
pub(crate) mod enqueue;
pub(crate) mod finish;
pub(crate) mod history;
pub(crate) mod idle_lock;
pub(crate) mod lookup;
pub(crate) mod notification;
pub(crate) mod periodic;
pub(crate) mod schema;
pub(crate) mod session;
pub(crate) mod worker;

/// The text of a statement in `sql/queries/`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/queries/", $name, ".sql"))
    };
}
pub(crate) use sql;
