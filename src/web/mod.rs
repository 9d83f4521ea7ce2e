//! The web service: jobs, tablos and files over HTTP.
//!
//! ```text
//! server ─▶ connection ─▶ observe ─▶ access ─▶ router ─▶ jobs, queues, tablos, files, health
//!  (how many)  (how long)   (log,      (token)              │
//!                            metrics)                       └─▶ answer, problem
//! ```
//!
//! Promises: every error is a `problem`; every wait on a client or on the database has a limit;
//! no file is ever held whole. Decides nothing about jobs and files: that is for
//! [`operate`](crate::operate), [`enqueue`](mod@crate::enqueue) and [`app`](crate::app).

mod access;
mod answer;
mod args;
mod body;
mod connection;
mod fields;
mod files;
pub mod health;
mod idempotency_key;
mod jobs;
mod metrics;
mod observe;
mod openapi;
mod parameters;
mod patient_stream;
mod problem;
mod queues;
mod router;
mod server;
mod tablos;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio::net::TcpListener;

pub use args::Args;

use crate::app::ObjectStore;
use crate::cli::logging;
use crate::database::MigrationSet;
use crate::{Database, Error, Shutdown};
use args::Settings;
use health::Vitals;
use metrics::Metrics;

/// The schemas that the service needs.
const NEEDS: &[MigrationSet] = &[MigrationSet::Queue, MigrationSet::App];

/// What the handlers share.
struct Web {
    database: Database,
    objects: ObjectStore,
    transfers: files::Transfers,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    /// The command line or the environment is wrong: exit status 2.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Queue(#[from] Error),
    #[error("cannot listen on {addr}: {cause}; choose another address with --bind")]
    Bind { addr: SocketAddr, cause: std::io::Error },
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// The binary `web`: exit status 0 after a clean shutdown, 1 after a failure or where requests
/// had to be cut off, 2 for wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    match start(&args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            // Plain text, as clap writes its own: nobody may be reading the log yet.
            eprintln!("error: {error}");
            ExitCode::from(if matches!(error, StartError::Usage(_)) { 2 } else { 1 })
        }
    }
}

/// Runs the service and tells how many requests had to be cut off.
fn start(args: &Args) -> Result<usize, StartError> {
    logging::init().map_err(|error| StartError::Usage(error.to_string()))?;
    let settings = Settings::new(args).map_err(StartError::Usage)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(settings))
}

async fn run(settings: Settings) -> Result<usize, StartError> {
    let shutdown = Shutdown::on_signals()?;
    let database = Database::from_url(&settings.database_url)?;
    if settings.migrate {
        for set in NEEDS {
            database.migrate(*set).await?;
        }
    }
    database.require_schema(NEEDS).await?;
    let web = Web {
        database: database.clone(),
        objects: ObjectStore::new(settings.object_store),
        transfers: files::Transfers::default(),
    };
    let vitals = Vitals { database, needs: NEEDS, metrics: Metrics::new(None) };
    let router = router::whole(Arc::new(web), Arc::new(vitals), settings.token);

    let cannot_bind = |cause| StartError::Bind { addr: settings.bind, cause };
    let listener = TcpListener::bind(settings.bind).await.map_err(cannot_bind)?;
    let addr = listener.local_addr()?;
    tracing::info!(%addr, "web ready");
    let say = async {
        shutdown.begun().await;
        tracing::info!("shutting down");
    };
    // An idle server may have drained in the moment that the shutdown begins: both are waited for.
    let (drained, ()) = tokio::join!(server::serve(listener, router, &shutdown), say);
    tracing::info!(completed = drained.completed, abandoned = drained.abandoned, "shutdown complete");
    Ok(drained.abandoned)
}
