//! `heartbeat`: shows in the log that jobs run.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::worker::{Context, JobError};
use postrider_derive::Job;

/// The args: empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Job)]
#[job(kind = "heartbeat")]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {}

pub(crate) async fn handle(_: Heartbeat, cx: Context<App>) -> Result<(), JobError> {
    tracing::info!(job_id = cx.job_id(), attempt = cx.attempt(), "worker heartbeat");
    Ok(())
}
