//! One log event and the metrics of each request.
//!
//! Promises: query and headers are not logged, they may contain secrets; a panic in a handler becomes a 500.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::Instrument;

use super::metrics::HttpMetrics;
use super::problem::Problem;
use crate::postgres::finished;

/// Polled every few seconds by machines: logged at level `debug`.
pub(super) const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Marks the answer to a request that has waited for a job: its latency says nothing about the service.
#[derive(Clone, Copy)]
pub(super) struct Waited;

pub(crate) async fn observe(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let span = tracing::info_span!("request", %method, path);

    // The handler's state is dropped with it, so nothing half-changed stays visible. If the client hangs up it is
    // dropped, perhaps in the middle of a statement.
    let answered = finished(AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone())).await;
    let response = answered.unwrap_or_else(|panic| {
        span.in_scope(|| tracing::error!(panic = panic_message(panic.as_ref()), "a handler panicked"));
        Problem::internal().into_response()
    });

    let (latency, status) = (started.elapsed(), response.status().as_u16());
    let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
    if PROBES.contains(&path.as_str()) {
        tracing::debug!(%method, path, status, latency_ms, "request");
    } else {
        tracing::info!(%method, path, status, latency_ms, "request");
    }
    let observed = response.extensions().get::<Waited>().is_none().then_some(latency);
    metrics.count(&method, matched.as_ref().map_or("unmatched", MatchedPath::as_str), status, observed);
    response
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
