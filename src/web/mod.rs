//! The web service: jobs, tablos and files over HTTP.
//!
//! ```text
//! server ─▶ connection ─▶ observe ─▶ access ─▶ router ─▶ jobs, queues, tablos, files, health
//!  (slots)     (limits)     (log,      (token)              │
//!                            metrics)                       └─▶ answer, problem
//! ```
//!
//! Promises: every error is a `problem`; every wait for a client or the database has a limit; no file is held in
//! memory as a whole. Decisions about jobs and files are made in [`admin`](crate::admin),
//! [`enqueue`](mod@crate::enqueue) and [`app`](crate::app).

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
mod problem;
mod queues;
mod router;
mod server;
mod slots;
mod tablos;
mod write_permits;
mod write_timeout_stream;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;

pub use args::Args;

use crate::app::ObjectStore;
use crate::error::Error;
use crate::postgres::Database;
use crate::program::{logging, open_files, tell};
use crate::schema::MigrationSet;
use crate::wait::Waiter;
use crate::worker::Shutdown;
use args::Settings;
use health::ProbeState;
use metrics::Metrics;

/// The schemas that the service needs.
const NEEDS: &[MigrationSet] = &[MigrationSet::Queue, MigrationSet::App];

/// The most database connections of requests for files, beside the 10 of all others.
const FILE_CONNECTIONS: usize = 4;

/// The shared state of the handlers.
struct Web {
    database: Database,
    /// A separate pool for file requests, so that their waits do not block other requests.
    database_of_files: Database,
    objects: ObjectStore,
    write_permits: write_permits::WritePermits,
    transfers: files::Transfers,
    waiter: Waiter,
    shutdown: Shutdown,
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

/// The program `web`. Exit status 0 after a clean shutdown, 1 after a failure or if requests were cut off, 2 for
/// wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::read();
    match start(&args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            // Plain text, as clap writes: the log may not be set up yet.
            tell(&format!("error: {error}"));
            ExitCode::from(if matches!(error, StartError::Usage(_)) { 2 } else { 1 })
        }
    }
}

/// Runs the service. Returns how many requests were cut off.
fn start(args: &Args) -> Result<usize, StartError> {
    let _log = logging::init().map_err(|error| StartError::Usage(error.to_string()))?;
    let settings = Settings::new(args).map_err(StartError::Usage)?;
    let open_files = open_files::raise_limit();
    tracing::debug!(?open_files, "limit of open files");
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(settings))
}

async fn run(settings: Settings) -> Result<usize, StartError> {
    let shutdown = Shutdown::on_signals()?;
    let mut database = Database::from_url(&settings.database_url)?.in_schema(settings.schema);
    if let Some(listen_url) = &settings.listen_url {
        database = database.with_listen_url(listen_url)?;
    }
    if settings.migrate {
        for set in NEEDS {
            database.migrate(*set).await?;
        }
    }
    database.require_schema(NEEDS).await?;
    let web = Web {
        database: database.clone(),
        database_of_files: database.clone().with_pool_size(FILE_CONNECTIONS),
        objects: ObjectStore::new(settings.object_store),
        write_permits: write_permits::WritePermits::default(),
        transfers: files::Transfers::default(),
        waiter: Waiter::new(&database),
        shutdown: shutdown.clone(),
    };
    let probes = ProbeState::new(database, Metrics::new(None));
    let router = router::whole(Arc::new(web), Arc::new(probes), settings.access);

    let cannot_bind = |cause| StartError::Bind { addr: settings.bind, cause };
    let listener = TcpListener::bind(settings.bind).await.map_err(cannot_bind)?;
    let addr = listener.local_addr()?;
    tracing::info!(%addr, "web ready");
    let say = async {
        shutdown.begun().await;
        tracing::info!("shutting down");
    };
    // An idle server may drain at the moment that the shutdown begins: wait for both.
    let (drained, ()) = tokio::join!(server::serve(listener, router, &shutdown), say);
    tracing::info!(completed = drained.completed, abandoned = drained.abandoned, "shutdown complete");
    Ok(drained.abandoned)
}
