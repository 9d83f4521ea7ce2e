//! `worker enqueue`.

use std::io::Read;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;

use super::args::{kind_name, queue_name, time, unique_key};
use super::connection;
use super::duration::{THOUSAND_YEARS, between};
use super::failure::Failure;
use super::output::Output;
use crate::error::Error;
use crate::job::Args as JobArgs;
use crate::job::NewJob;
use crate::job::{DEFAULT_MAX_ATTEMPTS, DEFAULT_QUEUE, MAX_ARGS_BYTES, MAX_MAX_ATTEMPTS, Priority};
use crate::program::tell;

/// Adds a job and prints its id.
#[derive(Debug, Args)]
pub(super) struct Enqueue {
    /// The kind, which determines the handler: 1 to 128 of A-Z a-z 0-9 _ . / -
    #[arg(value_parser = kind_name)]
    kind: String,
    /// The payload in JSON, at most 1 MiB; `-` reads it from standard input.
    #[arg(value_name = "ARGS_JSON", default_value = "{}", allow_negative_numbers = true)]
    args: String,
    /// The queue: 1 to 64 of A-Z a-z 0-9 _ . / -
    #[arg(long, value_name = "NAME", env = "WORKER_QUEUE", default_value = DEFAULT_QUEUE, value_parser = queue_name)]
    queue: String,
    /// 1 urgent, 2 normal, 3 low, 4 idle.
    #[arg(long, value_name = "1..4", env = "WORKER_PRIORITY", default_value_t = 2,
          value_parser = clap::value_parser!(i64).range(1..=4))]
    priority: i64,
    /// Not before this time, with its offset, such as 2030-01-31T09:00:00Z [default: now]
    #[arg(long, value_name = "RFC3339", env = "WORKER_AT", value_parser = time, conflicts_with = "in")]
    at: Option<DateTime<Utc>>,
    /// Not before this long from now by the database's clock, 0s to 1000years, such as 90s or 2h.
    #[arg(long = "in", id = "in", value_name = "DURATION", env = "WORKER_IN",
          value_parser = between(Duration::ZERO..=THOUSAND_YEARS))]
    delay: Option<Duration>,
    /// The failure of this attempt discards the job, 1 to 10000.
    #[arg(long, value_name = "N", env = "WORKER_MAX_ATTEMPTS", default_value_t = DEFAULT_MAX_ATTEMPTS,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_MAX_ATTEMPTS)))]
    max_attempts: u32,
    /// While an unfinished job has this key, print its id and add nothing. 1 to 512 bytes.
    #[arg(long, value_name = "TEXT", env = "WORKER_UNIQUE_KEY", value_parser = unique_key)]
    unique_key: Option<String>,
}

impl Enqueue {
    pub async fn execute(self, out: &mut Output) -> Result<(), Failure> {
        let text = if self.args == "-" { standard_input().await? } else { self.args.clone() };
        let job = self.job(&text).map_err(|error| Failure::Usage(in_words_of_the_command(error)))?;
        let mut connection = connection::connect().await?;
        let enqueued = connection.answer(async |tx| crate::enqueue::enqueue_job(tx, job).await).await?;
        if !enqueued.is_inserted() {
            // Standard output has the id alone, for scripts.
            tell(&format!("nothing added: unfinished job {} has this unique key", enqueued.id));
        }
        out.line(&enqueued.id.to_string())
    }

    fn job(self, args: &str) -> Result<NewJob, Error> {
        let mut job = NewJob::new(&self.kind, JobArgs::parse(args)?)?
            .queue(&self.queue)?
            .priority(Priority::try_from(self.priority)?)
            .max_attempts(self.max_attempts)?;
        if let Some(time) = self.at {
            job = job.run_at(time)?;
        }
        if let Some(delay) = self.delay {
            job = job.run_in(delay)?;
        }
        if let Some(key) = &self.unique_key {
            job = job.unique_key(key)?;
        }
        Ok(job)
    }
}

/// All of standard input, up to one byte more than allowed.
async fn standard_input() -> Result<String, Failure> {
    // On its own thread, so that a signal still ends the command.
    let read = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(MAX_ARGS_BYTES as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    let bytes = match read.await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(Failure::Failed(format!("standard input: {error}"))),
        Err(error) => return Err(Failure::Failed(format!("standard input: {error}"))),
    };
    if bytes.len() > MAX_ARGS_BYTES {
        return Err(Failure::Usage(format!("ARGS_JSON on standard input is more than {MAX_ARGS_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Failure::Usage("ARGS_JSON on standard input is not UTF-8".to_owned()))
}

/// Translates the library's field names into flags.
fn in_words_of_the_command(error: Error) -> String {
    match error {
        Error::Invalid { field: "args", problem, .. } => {
            format!("ARGS_JSON {problem}; write JSON such as '{{\"sleep_ms\": 100}}'")
        }
        other => other.to_string(),
    }
}
