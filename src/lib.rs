//! Postrider: a background worker and job queue for services that already have Postgres.
//!
//! A producer adds a job, alone or in its own transaction ([`enqueue`](enqueue()),
//! [`enqueue_many`], [`copy`]). A [`Worker`] that listens starts it within a millisecond or two;
//! polling sees to it that no job ever depends on a notification.
//!
//! - [`job`]: what a job is
//! - [`mod@enqueue`]: adding jobs
//! - [`worker`]: running them
//! - [`operate`]: looking at them, retrying, cancelling, pausing
//! - [`database`]: how to reach Postgres, and migrations
//!
//! With the feature `app` (default), what the two binaries are made of: `app`, `web`, `cli`, `bench`.

#[cfg(feature = "app")]
pub mod app;
#[cfg(feature = "app")]
pub mod bench;
#[cfg(feature = "app")]
pub mod cli;
pub mod database;
pub mod enqueue;
mod error;
pub mod job;
pub mod operate;
mod store;
#[cfg(feature = "app")]
pub mod web;
pub mod worker;

pub use database::Database;
pub use enqueue::{NewJob, copy, enqueue, enqueue_many};
pub use error::Error;
pub use job::{Args, Job, JobId, JobRecord, Priority, State};
pub use worker::{Context, JobError, Shutdown, Worker};
