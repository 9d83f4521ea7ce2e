//! `worker pause` and `worker resume`.

use clap::Args;

use super::args::queue_name;
use super::connection;
use super::each::Each;
use super::failure::Failure;
use super::output::Output;
use crate::admin;

/// Pauses queues: no worker claims their jobs, and running ones go on.
///
/// Lasts until `worker resume`, also over restarts.
#[derive(Debug, Args)]
pub(super) struct Pause {
    /// The queues' names.
    #[arg(required = true, value_name = "QUEUE", value_parser = queue_name)]
    queues: Vec<String>,
}

/// Resumes paused queues.
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The queues' names.
    #[arg(required = true, value_name = "QUEUE", value_parser = queue_name)]
    queues: Vec<String>,
}

impl Pause {
    pub async fn execute(&self, out: &mut Output) -> Result<(), Failure> {
        let mut connection = connection::connect().await?;
        let mut each = Each::new(out);
        for queue in &self.queues {
            let paused = connection.answer(async |tx| admin::pause(tx, queue).await).await;
            each.was(paused.map_err(Failure::from).map(|_| format!("queue {queue} paused")))?;
        }
        each.end()
    }
}

impl Resume {
    pub async fn execute(&self, out: &mut Output) -> Result<(), Failure> {
        let mut connection = connection::connect().await?;
        let mut each = Each::new(out);
        for queue in &self.queues {
            let resumed = connection.answer(async |tx| admin::resume(tx, queue).await).await;
            each.was(resumed.map_err(Failure::from).map(|_| format!("queue {queue} resumed")))?;
        }
        each.end()
    }
}
