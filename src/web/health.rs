//! Liveness, readiness and metrics: for the web service, and beside a worker.
//!
//! Promises: each is answered within 2 s, or within 3 s for the metrics, whatever the database does.

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

use super::answer::json_text;
use super::metrics::Metrics;
use super::problem::Problem;
use super::{NEEDS, router, server};
use crate::database::MigrationSet;
use crate::{Database, Error, Shutdown, worker};

/// How long the database may take to say that it is there.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// What the three look at.
pub(crate) struct Vitals {
    pub database: Database,
    /// The schemas that this process needs.
    pub needs: &'static [MigrationSet],
    pub metrics: Metrics,
}

/// Their routes.
pub(crate) fn routes(vitals: Arc<Vitals>) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(vitals)
}

async fn alive() -> Response {
    json_text(StatusCode::OK, r#"{"status":"ok"}"#)
}

async fn ready(State(vitals): State<Arc<Vitals>>) -> Result<Response, Problem> {
    match tokio::time::timeout(READY_TIMEOUT, vitals.database.require_schema(vitals.needs)).await {
        Ok(Ok(())) => Ok(json_text(StatusCode::OK, r#"{"status":"ready"}"#)),
        Ok(Err(error @ Error::SchemaTooOld { .. })) => Err(Problem::unavailable(error.to_string())),
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

async fn metrics(State(vitals): State<Arc<Vitals>>) -> Result<Response, Problem> {
    let text = vitals.metrics.text(&vitals.database).await.map_err(|error| {
        tracing::error!(%error, "the metrics cannot be written");
        Problem::internal()
    })?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, media_type)], text).into_response())
}

/// A listener for probes and metrics, running until its shutdown.
#[derive(Debug)]
pub struct Health {
    /// Where it listens; a port of 0 has become a real one.
    pub addr: SocketAddr,
    /// Ends when the shutdown has begun.
    pub task: JoinHandle<()>,
}

/// Serves `/healthz`, `/readyz` and `/metrics` beside a worker, to whoever can reach `addr`.
///
/// # Errors
/// Where `addr` cannot be listened on.
pub async fn serve(
    addr: SocketAddr,
    database: Database,
    worker: Option<Arc<worker::Metrics>>,
    shutdown: Shutdown,
) -> std::io::Result<Health> {
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    let vitals = Arc::new(Vitals { database, needs: NEEDS, metrics: Metrics::new(worker) });
    let router = router::dressed(routes(Arc::clone(&vitals)), None, vitals.metrics.http());
    let task = tokio::spawn(async move {
        server::serve(listener, router, &shutdown).await;
    });
    tracing::info!(%addr, "health ready");
    Ok(Health { addr, task })
}
