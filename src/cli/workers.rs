//! `worker workers`.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::failure::{Failure, tell};
use super::output::Output;
use super::table::{Column, Table};
use super::{age, connection, json_lines};
use crate::admin::{self, ServedQueue};

/// Shows the worker processes.
///
/// One that is not LIVE has missed its heartbeats. It is gone once another worker has rescued its jobs.
#[derive(Debug, Args)]
pub(super) struct Workers {
    /// One JSON object a worker and line instead of a table.
    #[arg(long, env = "WORKER_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

const COLUMNS: &[Column] = &[
    Column::Cut("HOST"),
    Column::Whole("PID"),
    Column::Cut("VERSION"),
    Column::Cut("QUEUES"),
    Column::Whole("STARTED"),
    Column::Whole("HEARTBEAT"),
    Column::Whole("LIVE"),
    Column::Cut("ID"),
];

impl Workers {
    pub async fn execute(&self, out: &mut Output) -> Result<(), Failure> {
        let mut connection = connection::connect().await?;
        let (workers, now) =
            connection.answer(async |tx| Ok((admin::workers(tx).await?, admin::now(tx).await?))).await?;
        if self.json {
            return workers.iter().try_for_each(|worker| out.line(&json_lines::line(worker)?));
        }
        if workers.is_empty() {
            tell("no workers: start one with `worker run`");
            return Ok(());
        }
        let rows = workers.into_iter().map(|worker| {
            vec![
                worker.host,
                worker.pid.to_string(),
                worker.version,
                served(&worker.queues),
                age::relative(worker.started_at, now),
                age::relative(worker.heartbeat_at, now),
                if worker.live { "yes" } else { "no" }.to_owned(),
                worker.id.to_string(),
            ]
        });
        Table::new(COLUMNS).page(rows, out)
    }
}

/// As in `--queues`.
fn served(queues: &[ServedQueue]) -> String {
    let entries: Vec<String> = queues.iter().map(|served| format!("{}:{}", served.queue, served.concurrency)).collect();
    entries.join(",")
}
