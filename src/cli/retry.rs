//! `worker retry`.

use clap::{ArgMatches, Args};

use super::connection;
use super::each::Each;
use super::failed::WhichFailed;
use super::failure::{Failure, tell};
use super::output::Output;
use super::pages::Pages;
use crate::admin;
use crate::error::Error;
use crate::job::JobId;

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
    /// At most this many; 0 is all.
    #[arg(long, value_name = "N", env = "WORKER_LIMIT", default_value_t = 0)]
    limit: u64,
}

impl Retry {
    /// The filters that were given beside ids on the command line. A filter from the environment is ignored there: it
    /// is meant for other commands, too.
    pub fn misplaced_filter(&self, matches: &ArgMatches) -> Option<&'static str> {
        let typed = |name: &&str| matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
        ["kind", "queue", "since", "state", "limit"].into_iter().find(|name| !self.all_failed && typed(name))
    }

    pub async fn execute(self, out: &mut Output) -> Result<(), Failure> {
        if self.all_failed { self.all_failed(out).await } else { self.ids(out).await }
    }

    async fn ids(&self, out: &mut Output) -> Result<(), Failure> {
        let mut connection = connection::connect().await?;
        let mut each = Each::new(out);
        for id in &self.ids {
            let retried = connection.answer(async |tx| admin::retry(tx, *id).await).await;
            each.was(retried.map(|_| retried_line(*id)).map_err(Failure::from))?;
        }
        each.end()
    }

    async fn all_failed(&self, out: &mut Output) -> Result<(), Failure> {
        let mut connection = connection::connect().await?;
        let mut pages = Pages::new(self.limit);
        let mut each = Each::new(out);
        let mut after = None;
        loop {
            let filter = self.which.page(after, pages.next_size());
            let page = connection.answer(async |tx| admin::failed(tx, &filter).await).await?;
            let more = pages.took(page.iter().map(|(_, job)| job));
            if page.is_empty() && after.is_none() {
                tell("no failed jobs");
            }
            // A job that fails again comes before the start of the next page, so that this ends however fast jobs
            // fail.
            after = page.last().map(|(failed_at, job)| (*failed_at, job.id)).or(after);
            let ids: Vec<JobId> = page.iter().map(|(_, job)| job.id).collect();
            let one_by_one = match connection.answer(async |tx| admin::retry_failed_many(tx, &ids).await).await {
                Ok(many) => {
                    each.were(many.retried.into_iter().map(retried_line))?;
                    // Once more, for the error with the key.
                    many.key_taken
                }
                // A locked job, or one edited into nonsense, does not stop the others.
                Err(error) if is_about_one_job(&error) => ids,
                Err(error) => return Err(error.into()),
            };
            for id in one_by_one {
                match connection.answer(async |tx| admin::retry_failed(tx, id).await).await {
                    Ok(true) => each.was(Ok(retried_line(id)))?,
                    // It runs again already, or has succeeded since the page was read.
                    Ok(false) => {}
                    Err(error) if is_about_one_job(&error) => each.was(Err(Failure::of_job(id, error)))?,
                    Err(error) => return Err(error.into()),
                }
            }
            if !more {
                return each.end();
            }
        }
    }
}

/// Whether others may succeed: the error is about the job or a lock on it.
fn is_about_one_job(error: &Error) -> bool {
    matches!(error, Error::KeyTaken { .. })
        || error.is_about_a_row()
        || error.is_locked_out()
        || error.sqlstate().is_some_and(|code| code.starts_with("40"))
}

fn retried_line(id: JobId) -> String {
    format!("job {id} retried")
}
