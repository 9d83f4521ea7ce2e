//! Tablos over HTTP: create, show, delete.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::Web;
use super::answer::{created, ok, text_of};
use super::body::JsonBody;
use super::fields::{Fields, missing};
use super::parameters::PathParameters;
use super::problem::Problem;
use crate::app::{AppError, tablos};

/// The grace of a deleted tablo's files: their cleanup is due now.
const GRACE: Duration = Duration::ZERO;

pub(super) async fn create(State(web): State<Arc<Web>>, JsonBody(body): JsonBody) -> Result<Response, Problem> {
    let name = Fields::parse(&body, &["name"])?.text("name")?.ok_or_else(|| missing("name"))?;
    let _permit = web.write_permits.to_change().await?;
    let tablo = tablos::create(&web.database, &name).await?;
    created(&format!("/tablos/{}", tablo.id), text_of(&tablo)?)
}

pub(super) async fn show(State(web): State<Arc<Web>>, path: PathParameters) -> Result<Response, Problem> {
    let id = tablo_id(path)?;
    let tablo = tablos::find(&web.database, id).await?.ok_or(AppError::TabloNotFound(id))?;
    ok(&tablo)
}

pub(super) async fn delete(State(web): State<Arc<Web>>, path: PathParameters) -> Result<Response, Problem> {
    let id = tablo_id(path)?;
    let _permit = web.write_permits.to_change().await?;
    if tablos::delete(&web.database, id, GRACE).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(AppError::TabloNotFound(id).into())
}

fn tablo_id(mut path: PathParameters) -> Result<Uuid, Problem> {
    path.parsed("id", "the id of a tablo")
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Invalid { field, problem } => Self::invalid(field, problem),
            AppError::TabloNotFound(_) => Self::not_found(error.to_string()),
            AppError::TabloExists(_) | AppError::FilesBeingDeleted(_) => {
                Self::new(StatusCode::CONFLICT, error.to_string())
            }
            AppError::LengthMismatch { .. } | AppError::Body(_) => Self::bad_request(error.to_string()),
            AppError::UploadTimedOut(_) => Self::new(StatusCode::REQUEST_TIMEOUT, error.to_string()),
            AppError::Queue(error) => error.into(),
            AppError::Storage { .. } => {
                tracing::error!(%error, "request failed");
                Self::unavailable("the object store cannot be used at present")
            }
            other => {
                tracing::error!(error = %other, "request failed");
                Self::internal()
            }
        }
    }
}
