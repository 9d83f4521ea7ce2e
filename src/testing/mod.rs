//! Testing the jobs of a service, without a running worker. Needs the feature `testing`, as a dev-dependency:
//!
//! ```toml
//! [dev-dependencies]
//! postrider = { version = "0.1", features = ["testing"] }
//! ```
//!
//! | to test | use | needs |
//! | --- | --- | --- |
//! | a handler alone | [`TestWorker::perform`] | nothing |
//! | what code enqueues | [`assert_enqueued!`](crate::assert_enqueued), [`refute_enqueued!`](crate::refute_enqueued), [`enqueued`] | a connection, or the code's own transaction |
//! | jobs together, and what follows from them | [`TestWorker::run_due`] | a database of the test's own: [`TestDatabase`] |
//! | the same, and nothing is kept | [`TestWorker::run_due_in`] | handlers that use only [`Context::begin`](crate::Context::begin) |
//! | that a handler bears crashes | [`RunDue::crash_after_effect`], [`RunDue::lose_lease`], [`RunDue::duplicate_delivery`] | as `run_due` |
//!
//! A [`TestWorker`] is made of the [`Worker`](crate::Worker) of the service, so the middleware, timeouts and retry
//! policies are those of production. So are the statements: only the time until a job is due can be skipped.
//!
//! ```
//! use postrider::testing::{self, Outcome, TestWorker};
//! use postrider::{Context, Database, Job, JobError, Worker};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Greet { name: String }
//! impl Job for Greet { const KIND: &'static str = "greet"; }
//!
//! /// The worker of the service.
//! fn worker(database: Database) -> Worker<()> {
//!     Worker::new(database, ()).queue("default", 10).handle(|greet: Greet, _: Context<()>| async move {
//!         if greet.name.is_empty() {
//!             return Err(JobError::discard("nobody to greet"));
//!         }
//!         Ok(format!("Hello, {}!", greet.name))
//!     })
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), postrider::Error> {
//! let worker = TestWorker::new(worker(testing::no_database()))?;
//! let outcome = worker.perform(&Greet { name: "Ada".into() }).await?;
//! assert_eq!(outcome.output_as::<String>()?.as_deref(), Some("Hello, Ada!"));
//!
//! let outcome = worker.perform(&Greet { name: String::new() }).await?;
//! assert!(matches!(outcome, Outcome::Discarded { error, .. } if error == "nobody to greet"));
//! # Ok(()) }
//! ```
//!
//! # A database for each test
//!
//! [`TestDatabase`] creates one on the server that you name, with the schema of the queue. So does `#[sqlx::test]` of
//! `sqlx` 0.8 and 0.9 (their features `macros` and `migrate`), where only the schema is missing:
//!
//! ```ignore
//! use std::{error::Error, time::Duration};
//!
//! use postrider::{Database, assert_enqueued, schema::MigrationSet, testing::TestWorker};
//! use sqlx::{ConnectOptions, PgPool};
//!
//! #[sqlx::test]
//! async fn an_order_is_confirmed(pool: PgPool) -> Result<(), Box<dyn Error>> {
//!     let database = Database::from_url(pool.connect_options().to_url_lossy().as_str())?;
//!     database.migrate(MigrationSet::Queue).await?;
//!     let worker = TestWorker::new(app::worker(database, pool.clone()))?;
//!
//!     app::place_order(&pool, "ada@example.org").await?;
//!     assert_enqueued!(&pool, SendMail { to: "ada@example.org", .. });
//!     worker.run_due(Duration::ZERO).await?;
//!     Ok(())
//! }
//! ```
//!
//! In a test of a handler alone, a pool in the state of the worker must be one that does not connect by itself, such as
//! `connect_lazy` of `sqlx`. A handler that completes its job in a transaction needs a database.
//!
//! # Time
//!
//! [`TestWorker::run_due`] takes how much time passes. It does not wait: jobs that are due within that time become due
//! one after the other, retries too, in the order of their times. The clocks of the process and of the database stay as
//! they are: the `run_at` of waiting jobs becomes earlier instead.
//!
//! # What is not tested
//!
//! Periodic jobs and those at start are not enqueued: a test enqueues one itself. Jobs run one at a time, so a handler of
//! batches gets one job, after its whole wait. A request to cancel is seen when a job is claimed, not while it runs. An
//! outcome that the database refuses ends the run with that error. No worker may run beside, since it would run the jobs,
//! too.

mod assertions;
mod database;
mod perform;
mod run_due;
mod worker;

pub use crate::postgres::transaction::TestTransaction;
pub use crate::worker::inline::{Attempt, Outcome};
#[cfg(feature = "diesel-2")]
pub use assertions::enqueued_blocking;
pub use assertions::{EnqueuedJob, enqueued};
#[doc(hidden)]
pub use assertions::{none_like, one_like};
pub use database::TestDatabase;
pub use perform::Perform;
pub use run_due::RunDue;
pub use worker::{TestWorker, no_database};
