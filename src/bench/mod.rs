//! `worker bench`: measures the queue on this machine and this Postgres.
//!
//! A run creates a scratch database on the server (`scratch`), measures one scenario after another in it
//! (`scenarios`), reports each figure to an [`Observer`], and drops the database. Scenarios use the queue's public
//! functions. As a baseline, some also run the bare statements in the same round. Workers are separate processes
//! (`worker_process` starts them, `measured_worker` runs in them).
//!
//! Promises: no other database and no live table is changed. A run cleans up after itself, also after a failure or a
//! signal; after `kill -9` the next run does. After each drain it checks in the database that every job was finished
//! exactly once. It writes nothing to standard output.

mod adding;
mod arriving;
mod draining;
mod environment;
mod error;
mod figure;
mod jobs;
mod limits;
mod machine;
mod measured_worker;
mod observer;
mod plan;
mod process_usage;
mod rig;
mod rounds;
mod scenarios;
mod scratch;
mod store;
mod worker_process;

pub use environment::{Environment, Setting};
pub use error::BenchError;
pub use figure::{Figure, Unit};
pub use machine::Machine;
pub use measured_worker::{WorkerSetup, serve};
pub use observer::Observer;
pub use plan::{Plan, Scenario};
pub use worker_process::WORKER_COMMAND;

use figure::median;
use rig::Rig;
use scratch::Scratch;

use crate::postgres::Database;
use crate::schema::MigrationSet;
use crate::worker::Shutdown;

/// Runs the plan on the server of `server` until it is done or `shutdown` begins. Returns explanations of what limits
/// the figures.
///
/// # Errors
/// [`BenchError`]. The figures that the observer has received remain valid.
pub async fn run(
    server: &Database,
    plan: &Plan,
    observer: &mut dyn Observer,
    shutdown: &Shutdown,
) -> Result<Vec<String>, BenchError> {
    let scratch = Scratch::make(server).await?;
    let result = tokio::select! {
        result = measure(&scratch, plan, observer) => result,
        () = shutdown.begun() => Err(BenchError::Interrupted),
    };
    let removed = scratch.remove().await;
    let limits = result?;
    removed?;
    Ok(limits)
}

async fn measure(scratch: &Scratch, plan: &Plan, observer: &mut dyn Observer) -> Result<Vec<String>, BenchError> {
    scratch.database.migrate(MigrationSet::Queue).await?;
    let mut rig = Rig::new(plan, scratch, observer).await?;
    let environment = Environment::of(&rig).await?;
    rig.observer().begins(&environment);
    for scenario in &plan.scenarios {
        scenarios::measure(&mut rig, *scenario).await?;
    }
    Ok(limits::limits(&environment, &rig.figures, median(&rig.busy)))
}
