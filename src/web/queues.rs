//! Queues over HTTP: pause and resume.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::Web;
use super::answer::ok;
use super::parameters::PathParameters;
use super::problem::Problem;
use super::write_permits::begin;
use crate::admin;

/// The state of a queue after the request.
#[derive(Serialize)]
struct QueueState {
    queue: String,
    paused: bool,
}

pub(super) async fn pause(State(web): State<Arc<Web>>, mut path: PathParameters) -> Result<Response, Problem> {
    let queue = path.text("name")?;
    let _permit = web.write_permits.to_change().await?;
    let tx = begin(&web.database).await?;
    tx.commit_with(admin::pause(&tx, &queue)).await?;
    ok(&QueueState { queue, paused: true })
}

pub(super) async fn resume(State(web): State<Arc<Web>>, mut path: PathParameters) -> Result<Response, Problem> {
    let queue = path.text("name")?;
    let _permit = web.write_permits.to_change().await?;
    let tx = begin(&web.database).await?;
    tx.commit_with(admin::resume(&tx, &queue)).await?;
    ok(&QueueState { queue, paused: false })
}
