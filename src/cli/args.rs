//! The command line of `worker`: commands and flags, parsed and checked once.
//!
//! Promises: each flag has an environment variable, `WORKER_` and its name in capitals. A value out of range is
//! refused before the database is touched. The flags of a command are in the command's file.

use chrono::{DateTime, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};

use super::{
    bench::Bench, bench::BenchWorker, cancel::Cancel, completions::Completions, enqueue::Enqueue, failed::Failed,
    list::List, migrate::Migrate, pause::Pause, pause::Resume, queues::Queues, retry::Retry, roles::Roles, run::Run,
    show::Show, stats::Stats, workers::Workers,
};
use crate::job::Due;
use crate::job::{State, check_kind, check_queue, check_unique_key};

const ENVIRONMENT: &str = "\
Environment:
  DATABASE_URL         Postgres URL or key=value string (needed by all commands but roles and completions)
  DATABASE_LISTEN_URL  direct URL for LISTEN, where DATABASE_URL goes through a pooler
  POSTRIDER_SCHEMA     schema of the queue [default: postrider]
  LOG_FORMAT           json or pretty [default: pretty on a terminal, else json]
  RUST_LOG             log filter [default: info]
  NO_COLOR             no colour anywhere

Each flag has an environment variable too, shown beside it; the flag goes before it.
Exit status: 0 done, 1 failed, 2 not understood.";

/// Postrider: runs background jobs in Postgres, shows and changes them.
#[derive(Debug, Parser)]
#[command(name = "worker", version, about, after_help = ENVIRONMENT, max_term_width = 100)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Run(Run),
    Migrate(Migrate),
    Roles(Roles),
    Enqueue(Enqueue),
    Failed(Failed),
    List(List),
    Show(Show),
    Retry(Retry),
    Cancel(Cancel),
    Pause(Pause),
    Resume(Resume),
    Stats(Stats),
    Queues(Queues),
    Workers(Workers),
    Bench(Bench),
    /// Started only by `bench`, and parsed by [`BenchWorker::read`].
    #[command(skip)]
    BenchWorker(BenchWorker),
    Completions(Completions),
}

/// A queue's name.
pub(super) fn queue_name(text: &str) -> Result<String, crate::error::Error> {
    check_queue(text).map(|()| text.to_owned())
}

/// A kind's name.
pub(super) fn kind_name(text: &str) -> Result<String, crate::error::Error> {
    check_kind(text).map(|()| text.to_owned())
}

/// A unique key.
pub(super) fn unique_key(text: &str) -> Result<String, crate::error::Error> {
    check_unique_key(text).map(|()| text.to_owned())
}

/// A time with its offset.
pub(super) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|error| format!("{error}; write an RFC 3339 time such as 2030-01-31T09:00:00Z"))?
        .to_utc();
    Due::checked_at(time.into()).map_err(|error| error.to_string())?;
    Ok(time)
}

/// One of these states.
pub(super) fn state_of(states: impl IntoIterator<Item = State>) -> impl TypedValueParser<Value = State> {
    PossibleValuesParser::new(states.into_iter().map(State::as_str)).try_map(|name| name.parse::<State>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_makes_the_time_panic(
            text in r"[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,12})?(Z|[+-][0-9]{2}:[0-9]{2})|\PC{0,30}",
        ) {
            if let Ok(read) = time(&text) {
                prop_assert_eq!(time(&read.to_rfc3339()), Ok(read));
            }
        }
    }
}
