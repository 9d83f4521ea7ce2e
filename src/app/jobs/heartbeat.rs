//! `heartbeat`: shows in the log that jobs run.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::job::Job;
use crate::worker::{Context, JobError};

/// The args: empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {}

impl Job for Heartbeat {
    const KIND: &'static str = "heartbeat";
}

pub(crate) async fn handle(_: Heartbeat, cx: Context<App>) -> Result<(), JobError> {
    tracing::info!(job_id = cx.job_id(), attempt = cx.attempt(), "worker heartbeat");
    Ok(())
}
