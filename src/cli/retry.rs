//! `worker retry`.

use clap::{ArgMatches, Args};

use super::connection;
use super::each::Each;
use super::failed::WhichFailed;
use super::failure::{Failure, tell};
use super::output::Output;
use super::pages::Pages;
use crate::{Error, JobId, operate};

/// Runs jobs again: makes a waiting one due now, brings a finished one back with a fresh budget.
///
/// A running job is refused.
#[derive(Debug, Args)]
pub(super) struct Retry {
    /// The jobs' ids.
    #[arg(value_name = "ID", required_unless_present = "all_failed", conflicts_with = "all_failed",
          value_parser = clap::value_parser!(i64).range(1..))]
    ids: Vec<JobId>,
    /// All jobs that `worker failed` shows with the same filters, except running ones.
    #[arg(long, env = "WORKER_ALL_FAILED", value_parser = clap::builder::BoolishValueParser::new())]
    all_failed: bool,
    #[command(flatten, next_help_heading = "With --all-failed")]
    which: WhichFailed,
    /// At most so many; 0 is all.
    #[arg(long, value_name = "N", env = "WORKER_LIMIT", default_value_t = 0)]
    limit: u64,
}

impl Retry {
    /// The filters that were typed beside ids. A filter from the environment does no harm there:
    /// it is meant for other commands, too.
    pub fn misplaced_filter(&self, matches: &ArgMatches) -> Option<&'static str> {
        let typed = |name: &&str| matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
        ["kind", "queue", "since", "state", "limit"].into_iter().find(|name| !self.all_failed && typed(name))
    }

    pub async fn execute(self, out: &mut Output) -> Result<(), Failure> {
        if self.all_failed { self.all_failed(out).await } else { self.ids(out).await }
    }

    async fn ids(&self, out: &mut Output) -> Result<(), Failure> {
        let client = connection::connect().await?;
        let mut each = Each::new(out);
        for id in &self.ids {
            let retried = connection::answer(operate::retry(&client, *id)).await;
            each.was(retried.map(|_| retried_line(*id)).map_err(Failure::from))?;
        }
        each.end()
    }

    async fn all_failed(&self, out: &mut Output) -> Result<(), Failure> {
        let client = connection::connect().await?;
        let mut pages = Pages::new(self.limit);
        let mut each = Each::new(out);
        let mut after = None;
        loop {
            let filter = self.which.page(after, pages.next_size());
            let page = connection::answer(operate::failed(&client, &filter)).await?;
            let more = pages.took(page.iter().map(|(_, job)| job));
            if page.is_empty() && after.is_none() {
                tell("no failed jobs");
            }
            // A job that fails anew stands before the place where the next page begins, so that
            // this ends however fast they fail.
            after = page.last().map(|(failed_at, job)| (*failed_at, job.id)).or(after);
            for id in page.iter().map(|(_, job)| job.id) {
                match connection::answer(operate::retry_failed(&client, id)).await {
                    Ok(true) => each.was(Ok(retried_line(id)))?,
                    // It runs again already, or has ended well since the page was read.
                    Ok(false) => {}
                    // Without a connection no other would fare better.
                    Err(error @ (Error::Connect(_) | Error::TimedOut(_))) => return Err(error.into()),
                    Err(error) => each.was(Err(error.into()))?,
                }
            }
            if !more {
                return each.end();
            }
        }
    }
}

fn retried_line(id: JobId) -> String {
    format!("job {id} retried")
}
