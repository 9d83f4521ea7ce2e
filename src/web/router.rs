//! The routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post, put};

use super::access::{Access, guard};
use super::health::{self, ProbeState};
use super::metrics::HttpMetrics;
use super::observe::{PROBES, observe};
use super::problem::Problem;
use super::{Web, files, jobs, openapi, queues, tablos};

/// The time limit of a request that transfers no file.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

type Route = (&'static str, MethodRouter<Arc<Web>>);

/// Short requests.
fn short_routes() -> Vec<Route> {
    vec![
        ("/jobs", get(jobs::list).post(jobs::create)),
        ("/jobs/{id}/retry", post(jobs::retry)),
        ("/jobs/{id}/cancel", post(jobs::cancel)),
        ("/queues/{name}/pause", post(queues::pause)),
        ("/queues/{name}/resume", post(queues::resume)),
        ("/tablos", post(tablos::create)),
        ("/tablos/{id}", get(tablos::show).delete(tablos::delete)),
        ("/openapi.json", get(openapi::show)),
    ]
}

/// Requests that take as long as a file or a job does. They have limits of their own.
fn long_routes() -> Vec<Route> {
    vec![
        ("/jobs/{id}", get(jobs::show)),
        ("/tablos/{id}/files/{name}", put(files::upload).get(files::download).head(files::head)),
    ]
}

/// The whole service.
pub(super) fn whole(web: Arc<Web>, probes: Arc<ProbeState>, access: Access) -> Router {
    let http = probes.metrics.http();
    let short = collected(short_routes()).layer(from_fn(in_time));
    let routes = short.merge(collected(long_routes())).with_state(web).merge(health::routes(probes));
    with_middleware(routes, access, http)
}

fn collected(routes: Vec<Route>) -> Router<Arc<Web>> {
    routes.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

/// Routes with the middleware of every request.
pub(super) fn with_middleware(routes: Router, access: Access, http: HttpMetrics) -> Router {
    routes
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(access, guard))
        .layer(from_fn_with_state(http, observe))
}

/// The routes that remain once the limit of connections is reached.
pub(super) fn only_probes(router: Router) -> Router {
    router.layer(from_fn(async |request: Request, next: Next| -> Result<Response, Problem> {
        if PROBES.contains(&request.uri().path()) {
            return Ok(next.run(request).await);
        }
        Err(Problem::unavailable("there are too many connections at present"))
    }))
}

async fn in_time(request: Request, next: Next) -> Result<Response, Problem> {
    done_within(REQUEST_TIMEOUT, next.run(request)).await
}

/// The answer, or a problem after this time.
pub(super) async fn done_within<T>(limit: Duration, answer: impl Future<Output = T>) -> Result<T, Problem> {
    tokio::time::timeout(limit, answer).await.map_err(|_| {
        let limit_s = limit.as_secs();
        tracing::error!(limit_s, "request took too long");
        Problem::unavailable(format!("the request was not done within {limit_s} s"))
    })
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}: /openapi.json lists what there is", uri.path()))
}

/// axum adds the header `Allow`.
async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{method} is not possible on {}: see the header Allow", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_description_has_every_path_and_no_other() -> Result<(), Box<dyn std::error::Error>> {
        let description: serde_json::Value = serde_json::from_str(openapi::TEXT)?;
        let described: BTreeSet<&str> =
            description["paths"].as_object().into_iter().flatten().map(|(path, _)| path.as_str()).collect();
        let routed: BTreeSet<&str> = short_routes()
            .iter()
            .chain(&long_routes())
            .map(|(path, _)| *path)
            .chain(["/healthz", "/readyz", "/metrics"])
            .collect();
        assert_eq!(described, routed);
        Ok(())
    }
}
