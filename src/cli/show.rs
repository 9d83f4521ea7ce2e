//! `worker show`.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use clap::builder::BoolishValueParser;

use super::failure::Failure;
use super::output::Output;
use super::{connection, json_lines};
use crate::admin;
use crate::error::Error;
use crate::job::{JobId, JobRecord};
use crate::program::visible::visible;

/// Shows one job, with the errors and traces of its last failed attempts.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The job's id.
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    id: JobId,
    /// One JSON object on one line.
    #[arg(long, env = "WORKER_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

impl Show {
    pub async fn execute(&self, out: &mut Output) -> Result<(), Failure> {
        let mut connection = connection::connect().await?;
        let job =
            connection.answer(async |tx| admin::find(tx, self.id).await).await?.ok_or(Error::NotFound(self.id))?;
        if self.json {
            return out.line(&json_lines::line(&job)?);
        }
        fields(&job, out)?;
        errors(&job, out)
    }
}

fn fields(job: &JobRecord, out: &mut Output) -> Result<(), Failure> {
    let optional = |time: Option<DateTime<Utc>>| time.map_or_else(|| "-".to_owned(), rfc3339);
    for (name, value) in [
        ("id", job.id.to_string()),
        ("kind", job.kind.clone()),
        ("queue", job.queue.clone()),
        ("priority", job.priority.to_string()),
        ("state", job.state.to_string()),
        ("args", job.args.get().to_owned()),
        ("attempt", format!("{} of {}", job.attempt, job.max_attempts)),
        ("run_at", rfc3339(job.run_at)),
        ("created_at", rfc3339(job.created_at)),
        ("attempted_at", optional(job.attempted_at)),
        ("attempted_by", job.attempted_by.map_or_else(|| "-".to_owned(), |worker| worker.to_string())),
        ("finished_at", optional(job.finished_at)),
        ("output", job.output.as_ref().map_or_else(|| "-".to_owned(), |output| output.get().to_owned())),
    ] {
        out.line(&format!("{name:<14}{}", visible(&value)))?;
    }
    Ok(())
}

fn errors(job: &JobRecord, out: &mut Output) -> Result<(), Failure> {
    let errors = job.attempt_errors();
    if errors.is_empty() {
        return out.line("errors        none");
    }
    out.line("errors")?;
    for error in errors {
        out.line(&format!("  attempt {} at {}", error.attempt, rfc3339(error.at)))?;
        indented(&error.error, out)?;
        if let Some(trace) = &error.trace {
            out.line("    trace")?;
            indented(trace, out)?;
        }
    }
    Ok(())
}

/// A text of several lines, each made safe for a terminal.
fn indented(text: &str, out: &mut Output) -> Result<(), Failure> {
    text.lines().try_for_each(|line| out.line(format!("    {}", visible(line)).trim_end()))
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
