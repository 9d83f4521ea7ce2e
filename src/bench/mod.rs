//! Measuring this machine and this Postgres with the queue on them: `worker bench`.
//!
//! A run makes a scratch database on the server (`scratch`), measures one scenario after the other in
//! it (`scenarios`), tells an [`Observer`] of each figure, and drops the database. What is measured
//! goes through the queue's public functions; beside them, where that makes sense, the bare statements
//! run in the same round. The workers are processes of their own (`worker_process` starts them,
//! `measured_worker` is what they do).
//!
//! Promises: no other database and no live table is touched; nothing is left behind, also after a
//! failure or a signal, and after `kill -9` until the next run; after each drain the database is asked
//! whether every job was finished exactly once. Writes nothing to standard output.

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

use crate::database::MigrationSet;
use crate::{Database, Shutdown};

/// Measures what is planned on the server of `server`, until all is done or `shutdown`; what limits
/// the figures, in words.
///
/// # Errors
/// [`BenchError`]; the figures that the observer has heard of stand.
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
