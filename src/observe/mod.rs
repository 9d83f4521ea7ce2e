//! What a worker does, as a stream of typed events: for metrics, dashboards and tests of your own.
//!
//! Promises: without a stream, an event costs one atomic read, and is not built. A stream delays nothing: its buffer is
//! bounded, and a stream that is read too slowly misses events and reports their number. Events are for observing: no
//! decision about a job depends on one.
//!
//! ```no_run
//! use postrider::observe::Event;
//! use postrider::{Database, Worker};
//!
//! # async fn example() -> Result<(), postrider::Error> {
//! let worker = Worker::new(Database::from_url("postgres://localhost/app")?, ());
//! let mut events = worker.events();
//! tokio::spawn(async move {
//!     while let Some(event) = events.next().await {
//!         if let Event::JobFinished { job_id, state, .. } = event {
//!             println!("job {job_id} is {state}");
//!         }
//!     }
//! });
//! # Ok(()) }
//! ```

mod event;
mod stream;

pub use event::Event;
pub use stream::EventStream;
pub(crate) use stream::Events;
