//! Postrider: a background worker and job queue for services that already have Postgres.
//!
//! A service enqueues a job, alone or in its own transaction, with its own driver ([`enqueue`](enqueue()), [`enqueue_many`],
//! [`enqueue_copy`]). A [`Worker`] receives a notification and starts the job within a millisecond or two. It also
//! polls, so that no job depends on a notification.
//!
//! - [`mod@job`]: the data of a job
//! - [`mod@enqueue`]: adding jobs
//! - [`mod@worker`]: running them
//! - [`mod@wait`]: waiting for the result of a job
//! - [`mod@admin`]: list, stats, retry, cancel, pause
//! - [`mod@observe`]: events of a worker
//! - [`mod@postgres`]: connecting to Postgres
//! - [`mod@schema`]: migrations of the schema
//!
//! # Features
//!
//! None is enabled by default: the crate is the queue.
//!
//! | feature | adds |
//! | --- | --- |
//! | `ring`, `aws-lc-rs` | encrypted connections (`sslmode`), with this implementation of cryptography. Without either, connections are never encrypted, and `sslmode=require` is refused |
//! | `derive` | the derive macro `Job`: `#[derive(Job)] #[job(kind = "send_mail", queue = "mail", timeout = "30s")]` |
//! | `migrate` | [`Database::migrate`]. Without it, `worker migrate` brings the schema up to date |
//! | `schedules` | [`Worker::cron`] |
//! | `sqlx-0_8`, `sqlx-0_9`, `diesel-2`, `diesel-async`, `sea-orm-2` | [`enqueue`](enqueue()) and [`Context::complete_in`] in transactions of these drivers: see [`AnyConnection`](postgres::AnyConnection) |
//! | `testing` | `testing`, for the tests of a service: handlers without a worker, assertions, faults. With `migrate` |
//! | `jiff`, `time` | times of these crates, beside `SystemTime` and `chrono` |
//! | `bin` | the programs `worker` and `web`, with `ring`, `derive`, `migrate` and `schedules`. Not for libraries: its modules are no API |

// The derive macro names the crate from outside.
#[cfg(feature = "bin")]
extern crate self as postrider;

pub mod admin;
#[cfg(feature = "bin")]
#[doc(hidden)]
pub mod app;
#[cfg(feature = "bin")]
#[doc(hidden)]
pub mod bench;
#[cfg(feature = "bin")]
#[doc(hidden)]
pub mod cli;
mod driver_error;
pub mod enqueue;
mod error;
mod error_chain;
pub mod job;
pub mod observe;
pub mod postgres;
#[cfg(feature = "bin")]
#[doc(hidden)]
pub mod program;
pub mod schema;
mod sql;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod wait;
#[cfg(feature = "bin")]
#[doc(hidden)]
pub mod web;
pub mod worker;

pub use driver_error::DriverError;
pub use enqueue::{enqueue, enqueue_copy, enqueue_many};
pub use error::Error;
pub use job::{Args, EnqueueOutcome, Enqueued, Job, JobId, JobRecord, NewJob, Priority, Retention, State, Time};
pub use postgres::{Database, Schema};
/// ```
/// use postrider::Job;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Job)]
/// #[job(kind = "send_mail", queue = "mail", timeout = "30s", max_attempts = 5)]
/// struct SendMail { to: String }
///
/// assert_eq!(SendMail::QUEUE, Some("mail"));
/// ```
///
/// ```compile_fail
/// # use postrider::Job;
/// #[derive(serde::Serialize, serde::Deserialize, Job)]
/// #[job(kind = "send mail")] // a name has no blanks
/// struct SendMail { to: String }
/// ```
///
#[cfg(feature = "derive")]
pub use postrider_derive::Job;
pub use wait::Waiter;
pub use worker::{Context, JobError, Shutdown, Worker};
