//! `heartbeat`: shows in the log that jobs are being run.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::{Context, Job, JobError};

/// The payload: nothing.
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
