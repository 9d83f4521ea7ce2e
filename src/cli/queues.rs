//! `worker queues`.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::failure::{Failure, tell};
use super::output::Output;
use super::table::{Column, Table};
use super::{age, connection, json_lines};
use crate::admin;

/// Shows the queues: who serves them, and which are paused.
///
/// CONCURRENCY is how many jobs of the queue its live workers run at the same time, at most. `worker stats` counts the
/// jobs.
#[derive(Debug, Args)]
pub(super) struct Queues {
    /// One JSON object a queue and line instead of a table.
    #[arg(long, env = "WORKER_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

const COLUMNS: &[Column] =
    &[Column::Cut("QUEUE"), Column::Whole("WORKERS"), Column::Whole("CONCURRENCY"), Column::Whole("PAUSED")];

impl Queues {
    pub async fn execute(&self, out: &mut Output) -> Result<(), Failure> {
        let mut connection = connection::connect().await?;
        let (queues, now) = connection.answer(async |tx| Ok((admin::queues(tx).await?, admin::now(tx).await?))).await?;
        if self.json {
            return queues.iter().try_for_each(|queue| out.line(&json_lines::line(queue)?));
        }
        if queues.is_empty() {
            tell("no queues: nothing was enqueued yet, and no worker runs");
            return Ok(());
        }
        let rows = queues.into_iter().map(|queue| {
            let paused = queue.paused_at.map_or_else(|| "no".to_owned(), |time| age::relative(time, now));
            vec![queue.queue, queue.workers.to_string(), queue.concurrency.to_string(), paused]
        });
        Table::new(COLUMNS).page(rows, out)
    }
}
