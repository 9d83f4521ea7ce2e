//! `worker stats`.

use clap::Args;
use clap::builder::BoolishValueParser;
use serde::Serialize;

use super::failure::{Failure, tell};
use super::output::Output;
use super::table::{Column, Table};
use super::{age, connection, json_lines};
use crate::admin::{self, Count, QueueStats};

/// Shows stats per queue.
///
/// Each is exact up to 10000; `10000+` (in JSON: "capped": true) is more than that. OLDEST is how
/// long the oldest due job has waited, WORKERS how many live ones serve the queue.
#[derive(Debug, Args)]
pub(super) struct Stats {
    /// One JSON object a queue and line instead of a table.
    #[arg(long, env = "WORKER_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

const COLUMNS: &[Column] = &[
    Column::Cut("QUEUE"),
    Column::Whole("AVAILABLE"),
    Column::Whole("RUNNING"),
    Column::Whole("SCHEDULED"),
    Column::Whole("RETRYABLE"),
    Column::Whole("OLDEST"),
    Column::Whole("WORKERS"),
    Column::Whole("PAUSED"),
];

/// The JSON line of a queue.
#[derive(Serialize)]
struct Line<'q> {
    queue: &'q str,
    available: i64,
    running: i64,
    scheduled: i64,
    retryable: i64,
    capped: bool,
    oldest_waiting_seconds: Option<f64>,
    workers: i64,
    paused: bool,
}

impl Stats {
    pub async fn execute(&self, out: &mut Output) -> Result<(), Failure> {
        let mut connection = connection::connect().await?;
        let queues = connection.answer(async |tx| admin::stats(tx).await).await?;
        if self.json {
            return queues.iter().try_for_each(|queue| out.line(&json_lines::line(&Line::of(queue))?));
        }
        if queues.is_empty() {
            tell("no queues: nothing was enqueued yet, and no worker runs");
            return Ok(());
        }
        Table::new(COLUMNS).page(queues.iter().map(cells), out)
    }
}

impl<'q> Line<'q> {
    fn of(queue: &'q QueueStats) -> Self {
        let figures = [queue.available, queue.running, queue.scheduled, queue.retryable];
        Self {
            queue: &queue.queue,
            available: queue.available.value,
            running: queue.running.value,
            scheduled: queue.scheduled.value,
            retryable: queue.retryable.value,
            capped: figures.iter().any(|figure| figure.capped),
            oldest_waiting_seconds: queue.oldest_waiting_seconds,
            workers: queue.workers,
            paused: queue.paused,
        }
    }
}

fn cells(queue: &QueueStats) -> Vec<String> {
    let figure = |count: Count| format!("{}{}", count.value, if count.capped { "+" } else { "" });
    // Whole seconds are enough for people, and an age slightly in the future is none.
    #[allow(clippy::cast_possible_truncation)]
    let oldest = queue.oldest_waiting_seconds.map(|seconds| age::short(seconds.max(0.0) as i64));
    vec![
        queue.queue.clone(),
        figure(queue.available),
        figure(queue.running),
        figure(queue.scheduled),
        figure(queue.retryable),
        oldest.unwrap_or_default(),
        queue.workers.to_string(),
        if queue.paused { "yes" } else { "no" }.to_owned(),
    ]
}
