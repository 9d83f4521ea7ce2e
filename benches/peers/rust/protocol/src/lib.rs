//! What every driver is told, and what it answers: the Rust half of the protocol that
//! `benches/peers/README.md` describes.
//!
//! Promises: whatever is timed is timed here, in the same way for every system; a driver only says
//! how its system does a thing.

mod clock;
mod driver;
mod invocation;
mod produce;
mod report;
mod tally;

pub use driver::{Driver, Failure};
pub use tally::Tally;

use invocation::{Call, Invocation};

/// Does what the command line asks of the system `D`, and ends the process.
///
/// # Errors
/// Whatever the system fails with: the message goes to standard error.
pub async fn run<D: Driver>() -> Result<(), Failure> {
    let Invocation { preset, url, call } = Invocation::from_environment()?;
    let settings = D::preset(&preset).ok_or_else(|| format!("no such preset: {preset}"))?;
    match call {
        Call::Install => D::install(&url, settings).await,
        Call::Work { jobs, warm_up, recorded } => {
            // Before anything of the system runs, so that all pay for their connections alike.
            report::event("start", clock::now())?;
            D::work(&url, settings, Tally::new(jobs, warm_up, recorded)).await
        }
        Call::EnqueueOne { jobs } => produce::one_by_one(D::connect(&url, settings).await?, jobs).await,
        Call::EnqueueBulk { jobs, chunk } => produce::in_bulk(D::connect(&url, settings).await?, jobs, chunk).await,
        Call::EnqueuePaced { jobs, pause } => produce::paced(D::connect(&url, settings).await?, jobs, pause).await,
    }
}
