//! The only place that runs the queue's SQL: one function per file of `sql/queries/`, in a folder per module.
//!
//! Promises: values are sent as parameters, never in the text of a statement. Each statement declares the types of its
//! parameters, so it needs no prepared statement and works through a transaction pooler. This module makes no decision
//! about jobs.

pub(crate) mod admin;
pub(crate) mod claim;
pub(crate) mod enqueue;
pub(crate) mod finish;
pub(crate) mod history;
pub(crate) mod idle_lock;
pub(crate) mod notification;
pub(crate) mod periodic;
pub(crate) mod read;
pub(crate) mod schema;
pub(crate) mod session;
#[cfg(feature = "testing")]
pub(crate) mod testing;
pub(crate) mod wait;
pub(crate) mod worker;
