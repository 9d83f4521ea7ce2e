//! `worker pause` and `worker resume`.

use clap::Args;

use super::args::queue_name;
use super::connection;
use super::each::Each;
use super::failure::Failure;
use super::output::Output;
use crate::operate;

/// Stops the claiming of queues, on all workers; running jobs go on.
///
/// Lasts until `worker resume`, also over restarts.
#[derive(Debug, Args)]
pub(super) struct Pause {
    /// The queues' names.
    #[arg(required = true, value_name = "QUEUE", value_parser = queue_name)]
    queues: Vec<String>,
}

/// Lets paused queues be claimed again.
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The queues' names.
    #[arg(required = true, value_name = "QUEUE", value_parser = queue_name)]
    queues: Vec<String>,
}

impl Pause {
    pub async fn execute(&self, out: &mut Output) -> Result<(), Failure> {
        let client = connection::connect().await?;
        let mut each = Each::new(out);
        for queue in &self.queues {
            let paused = connection::answer(operate::pause(&client, queue)).await;
            each.was(paused.map_err(Failure::from).map(|()| format!("queue {queue} paused")))?;
        }
        each.end()
    }
}

impl Resume {
    pub async fn execute(&self, out: &mut Output) -> Result<(), Failure> {
        let client = connection::connect().await?;
        let mut each = Each::new(out);
        for queue in &self.queues {
            let resumed = connection::answer(operate::resume(&client, queue)).await;
            each.was(resumed.map_err(Failure::from).map(|()| format!("queue {queue} resumed")))?;
        }
        each.end()
    }
}
