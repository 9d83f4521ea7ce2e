//! `worker list`.

use chrono::{DateTime, Utc};
use clap::Args;
use clap::builder::BoolishValueParser;

use super::args::{kind_name, queue_name, state_of};
use super::failure::{Failure, tell};
use super::output::Output;
use super::pages::Pages;
use super::table::{Column, Table};
use super::{age, connection, json_lines};
use crate::admin::{self, ListFilter};
use crate::job::JobRecord;
use crate::job::State;

/// Shows jobs, the newest first.
///
/// WHEN is the next run of a waiting job, the start of a running one and the end of a finished one.
#[derive(Debug, Args)]
pub(super) struct List {
    /// One JSON object a line instead of a table.
    #[arg(long, env = "WORKER_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
    /// Only jobs in this state.
    #[arg(long, value_name = "STATE", env = "WORKER_STATE", value_parser = state_of(State::ALL))]
    state: Option<State>,
    /// Only jobs of this kind.
    #[arg(long, value_name = "NAME", env = "WORKER_KIND", value_parser = kind_name)]
    kind: Option<String>,
    /// Only jobs of this queue.
    #[arg(long, value_name = "NAME", env = "WORKER_QUEUE", value_parser = queue_name)]
    queue: Option<String>,
    /// At most this many; 0 is all.
    #[arg(long, value_name = "N", env = "WORKER_LIMIT", default_value_t = 100)]
    limit: u64,
}

const COLUMNS: &[Column] = &[
    Column::Whole("ID"),
    Column::Cut("KIND"),
    Column::Cut("QUEUE"),
    Column::Whole("PRIO"),
    Column::Whole("STATE"),
    Column::Whole("ATTEMPT"),
    Column::Whole("WHEN"),
    Column::Cut("ARGS"),
];

impl List {
    pub async fn execute(self, out: &mut Output) -> Result<(), Failure> {
        let mut connection = connection::connect().await?;
        let now = connection.answer(async |tx| admin::now(tx).await).await?;
        let (mut pages, mut table) = (Pages::new(self.limit), Table::new(COLUMNS));
        let mut filter = ListFilter { state: self.state, kind: self.kind, queue: self.queue, after: None, limit: 0 };
        loop {
            filter.limit = pages.next_size();
            let page = connection.answer(async |tx| admin::list(tx, &filter).await).await?;
            let more = pages.took(page.iter());
            if page.is_empty() && filter.after.is_none() && !self.json {
                tell("no jobs");
            }
            filter.after = page.last().map(|job| job.id).or(filter.after);
            if self.json {
                for job in &page {
                    out.line(&json_lines::line(job)?)?;
                }
                out.flush()?;
            } else if !page.is_empty() {
                table.page(page.iter().map(|job| cells(job, now)), out)?;
            }
            if !more || out.is_gone() {
                return Ok(());
            }
        }
    }
}

fn cells(job: &JobRecord, now: DateTime<Utc>) -> Vec<String> {
    let when = match job.state {
        State::Scheduled | State::Available | State::Retryable => job.run_at,
        State::Running => job.attempted_at.unwrap_or(job.run_at),
        State::Completed | State::Cancelled | State::Discarded => job.finished_at.unwrap_or(job.run_at),
    };
    vec![
        job.id.to_string(),
        job.kind.clone(),
        job.queue.clone(),
        job.priority.to_string(),
        job.state.to_string(),
        format!("{}/{}", job.attempt, job.max_attempts),
        age::relative(when, now),
        job.args.get().to_owned(),
    ]
}
