//! `worker failed`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use clap::builder::BoolishValueParser;

use super::args::{kind_name, queue_name, state_of};
use super::duration::{HUNDRED_YEARS, between};
use super::failure::{Failure, tell};
use super::output::Output;
use super::pages::Pages;
use super::table::{Column, Table};
use super::{age, connection, json_lines};
use crate::admin::{self, FailedFilter};
use crate::job::State;
use crate::job::{JobId, JobRecord};

/// Shows jobs whose latest finished attempt failed, the newest failure first.
///
/// These are the retryable ones (waiting, due or running again) and the discarded ones. WHEN is
/// the next run of a waiting job, else the time of the failure.
#[derive(Debug, Args)]
pub(super) struct Failed {
    /// One JSON object a line instead of a table.
    #[arg(long, env = "WORKER_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
    #[command(flatten)]
    which: WhichFailed,
    /// At most this many; 0 is all.
    #[arg(long, value_name = "N", env = "WORKER_LIMIT", default_value_t = 100)]
    limit: u64,
}

/// The filters of failures.
#[derive(Clone, Debug, Args)]
pub(super) struct WhichFailed {
    /// Only jobs of this kind.
    #[arg(long, value_name = "NAME", env = "WORKER_KIND", value_parser = kind_name)]
    kind: Option<String>,
    /// Only jobs of this queue.
    #[arg(long, value_name = "NAME", env = "WORKER_QUEUE", value_parser = queue_name)]
    queue: Option<String>,
    /// Only failures of this last time, 1ms to 100years, such as 90s, 2h or 7d.
    #[arg(long, value_name = "DURATION", env = "WORKER_SINCE",
          value_parser = between(Duration::from_millis(1)..=HUNDRED_YEARS))]
    since: Option<Duration>,
    /// Only jobs that will be retried, or only discarded ones.
    #[arg(long, value_name = "STATE", env = "WORKER_STATE",
          value_parser = state_of([State::Retryable, State::Discarded]))]
    state: Option<State>,
}

impl WhichFailed {
    /// One page of them.
    pub fn page(&self, after: Option<(DateTime<Utc>, JobId)>, limit: u32) -> FailedFilter {
        FailedFilter {
            kind: self.kind.clone(),
            queue: self.queue.clone(),
            since: self.since,
            state: self.state,
            after: after.map(|(failed_at, id)| (failed_at.into(), id)),
            limit,
        }
    }
}

const COLUMNS: &[Column] = &[
    Column::Whole("ID"),
    Column::Cut("KIND"),
    Column::Cut("QUEUE"),
    Column::Whole("STATE"),
    Column::Whole("ATTEMPT"),
    Column::Whole("WHEN"),
    Column::Cut("ERROR"),
];

impl Failed {
    pub async fn execute(&self, out: &mut Output) -> Result<(), Failure> {
        let mut connection = connection::connect().await?;
        let now = connection.answer(async |tx| admin::now(tx).await).await?;
        let (mut pages, mut table) = (Pages::new(self.limit), Table::new(COLUMNS));
        let mut after = None;
        loop {
            let filter = self.which.page(after, pages.next_size());
            let page = connection.answer(async |tx| admin::failed(tx, &filter).await).await?;
            let more = pages.took(page.iter().map(|(_, job)| job));
            if page.is_empty() && after.is_none() && !self.json {
                tell("no failed jobs");
            }
            after = page.last().map(|(failed_at, job)| (*failed_at, job.id)).or(after);
            if self.json {
                for (_, job) in &page {
                    out.line(&json_lines::line(job)?)?;
                }
                out.flush()?;
            } else if !page.is_empty() {
                table.page(page.iter().map(|(failed_at, job)| cells(job, *failed_at, now)), out)?;
            }
            if !more || out.is_gone() {
                return Ok(());
            }
        }
    }
}

fn cells(job: &JobRecord, failed_at: DateTime<Utc>, now: DateTime<Utc>) -> Vec<String> {
    let when = if job.state == State::Retryable { job.run_at.max(now) } else { failed_at };
    vec![
        job.id.to_string(),
        job.kind.clone(),
        job.queue.clone(),
        job.state.to_string(),
        format!("{}/{}", job.attempt, job.max_attempts),
        age::relative(when, now),
        job.error.clone().unwrap_or_default(),
    ]
}
