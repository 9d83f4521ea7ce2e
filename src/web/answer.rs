//! Successful answers.

use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;

/// A status with JSON text.
pub(crate) fn json_text(status: StatusCode, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 200 with a value as JSON.
pub(crate) fn ok(value: &impl Serialize) -> Result<Response, Problem> {
    Ok(json_text(StatusCode::OK, text_of(value)?))
}

/// 201 with JSON text and the location of the new resource.
pub(crate) fn created(location: &str, body: String) -> Result<Response, Problem> {
    located(StatusCode::CREATED, location, body)
}

/// 200 with JSON text and the location of a resource that existed before.
pub(crate) fn found(location: &str, body: String) -> Result<Response, Problem> {
    located(StatusCode::OK, location, body)
}

fn located(status: StatusCode, location: &str, body: String) -> Result<Response, Problem> {
    let mut response = json_text(status, body);
    // Our paths are ASCII, and what a client sends is percent-encoded in them.
    let location = HeaderValue::from_str(location).map_err(|_| Problem::internal())?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

pub(crate) fn text_of(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Problem::internal()
    })
}
