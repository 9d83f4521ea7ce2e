//! Liveness, readiness and metrics, for the web service and beside a worker.
//!
//! Promises: each is answered within 2 s, the metrics within 3 s, whatever the database does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::access::Access;
use super::answer::json_text;
use super::metrics::Metrics;
use super::problem::{LACKS_A_RIGHT, Problem};
use super::{NEEDS, router, server};
use crate::error::Error;
use crate::postgres::Database;
use crate::schema::MigrationSet;
use crate::worker;
use crate::worker::Shutdown;

/// How long the database may take to answer.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// How many database connections they use at most. Dedicated ones, since handlers, or waiting requests, may hold all
/// others.
const CONNECTIONS: usize = 2;

/// What the probes check.
pub(crate) struct ProbeState {
    database: Database,
    /// The schemas that this process needs.
    needs: &'static [MigrationSet],
    pub metrics: Metrics,
}

impl ProbeState {
    pub fn new(database: Database, metrics: Metrics) -> Self {
        Self { database: database.with_pool_size(CONNECTIONS), needs: NEEDS, metrics }
    }
}

/// Their routes.
pub(crate) fn routes(probes: Arc<ProbeState>) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(probes)
}

async fn alive() -> Response {
    json_text(StatusCode::OK, r#"{"status":"ok"}"#)
}

async fn ready(State(probes): State<Arc<ProbeState>>) -> Result<Response, Problem> {
    match tokio::time::timeout(READY_TIMEOUT, missing_rights(&probes)).await {
        Ok(Ok(lacking)) if lacking.is_empty() => Ok(json_text(StatusCode::OK, r#"{"status":"ready"}"#)),
        Ok(Ok(lacking)) => {
            let lacking = lacking.join(", ");
            tracing::warn!(lacking, "not ready: the role of the service lacks rights");
            Err(Problem::unavailable(format!("{LACKS_A_RIGHT} ({lacking})")))
        }
        Ok(Err(error @ Error::SchemaTooOld { .. })) => Err(Problem::unavailable(error.to_string())),
        Ok(Err(error)) if error.lacks_privilege() => {
            tracing::warn!(%error, "not ready");
            Err(Problem::unavailable(LACKS_A_RIGHT))
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            Err(Problem::unavailable("the database cannot be used at present"))
        }
        Err(_) => {
            let limit_ms = READY_TIMEOUT.as_millis();
            tracing::warn!(timeout_ms = limit_ms, "not ready: the database did not answer");
            Err(Problem::unavailable(format!("the database did not answer within {limit_ms} ms")))
        }
    }
}

/// The rights that the service lacks. An error if it lacks none, and the schema cannot be used all the same.
async fn missing_rights(probes: &ProbeState) -> Result<Vec<String>, Error> {
    // First, since the schema's version is in a table, too.
    let missing = probes.database.missing_rights(probes.needs).await?;
    if missing.is_empty() {
        probes.database.require_schema(probes.needs).await?;
    }
    Ok(missing)
}

async fn metrics(State(probes): State<Arc<ProbeState>>) -> Result<Response, Problem> {
    let text = probes.metrics.text(&probes.database).await.map_err(|error| {
        tracing::error!(%error, "the metrics cannot be written");
        Problem::internal()
    })?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, media_type)], text).into_response())
}

/// A server for probes and metrics, running until the shutdown.
#[derive(Debug)]
pub struct Health {
    /// Its address. Port 0 is replaced by the real one.
    pub addr: SocketAddr,
    /// Completes once the shutdown has begun.
    pub task: JoinHandle<()>,
}

/// Serves `/healthz`, `/readyz` and `/metrics` beside a worker, to everybody who can reach `addr`.
///
/// # Errors
/// If it cannot listen on `addr`.
pub async fn serve(
    addr: SocketAddr,
    database: Database,
    worker: Option<Arc<worker::Metrics>>,
    shutdown: Shutdown,
) -> std::io::Result<Health> {
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    let probes = Arc::new(ProbeState::new(database, Metrics::new(worker)));
    let router = router::with_middleware(routes(Arc::clone(&probes)), Access::default(), probes.metrics.http());
    let task = tokio::spawn(async move {
        server::serve(listener, router, &shutdown).await;
    });
    tracing::info!(%addr, "health ready");
    Ok(Health { addr, task })
}
