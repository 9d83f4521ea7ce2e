//! Queues over HTTP: pause and resume.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::Web;
use super::answer::ok;
use super::parameters::PathParameters;
use super::problem::Problem;
use crate::operate;

/// What became of a queue.
#[derive(Serialize)]
struct QueueState {
    queue: String,
    paused: bool,
}

pub(super) async fn pause(State(web): State<Arc<Web>>, mut path: PathParameters) -> Result<Response, Problem> {
    let queue = path.text("name")?;
    operate::pause(&web.database.client().await?, &queue).await?;
    ok(&QueueState { queue, paused: true })
}

pub(super) async fn resume(State(web): State<Arc<Web>>, mut path: PathParameters) -> Result<Response, Problem> {
    let queue = path.text("name")?;
    operate::resume(&web.database.client().await?, &queue).await?;
    ok(&QueueState { queue, paused: false })
}
