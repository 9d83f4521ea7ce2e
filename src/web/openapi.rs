//! The service's `OpenAPI` 3.1 description, written by hand in `openapi.json`.

use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::json_text;
use super::parameters::QueryParameters;
use super::problem::Problem;

pub(super) const TEXT: &str = include_str!("openapi.json");

pub(super) async fn show(RawQuery(query): RawQuery) -> Result<Response, Problem> {
    QueryParameters::parse(query.as_deref(), &[])?;
    Ok(json_text(StatusCode::OK, TEXT))
}
