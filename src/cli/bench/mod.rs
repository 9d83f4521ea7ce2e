//! `worker bench`.

mod report;

use std::ffi::OsString;
use std::time::Duration;

use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, value_parser};

use self::report::Report;
use super::duration::between;
use super::failure::Failure;
use super::output::Output;
use super::{connection, exit};
use crate::bench::{self, BenchError, Plan, Scenario, WORKER_COMMAND, WorkerSetup};
use crate::worker::Shutdown;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

const SCENARIOS: &str = "\
Scenarios of a usual run (about 3 minutes; with --quick under 30 s):
  single       single jobs enqueued on one connection, against bare INSERTs
  connections  the same on 32 connections while a worker is busy
  many         enqueue_many in batches of 1,000, against INSERT … SELECT unnest
  copy         copy of 100,000 jobs, against a bare COPY
  drain        a backlog of 200,000 jobs: rate, WAL, dead rows, CPU and memory of the worker
  steady       a bulk producer and a worker at the same time
  pickup       from the commit to the first line of the handler, on an idle system
  response     from the enqueue to the result that a wait returns, one at a time
  arrivals     pickup at 300 and at 2,000 jobs a second arriving singly
  idle         a worker that has nothing to do

Long ones, which run only where they are named:
  backlog      the rate of a backlog of 5,000,000 against that of 100,000
  scheduled    the rate with 1,000,000 jobs scheduled for next week on the same queue
  held         1,000 jobs a second while a transaction stays open for 10 minutes
  soak         5,000 jobs a second for 30 minutes
  fleet        1, 2, 4, 8 and 16 worker processes on one queue
  slots        jobs that take 50 ms on 500 slots
  no_history   a backlog whose completed jobs are not kept
  large_args   jobs of 1 MiB args on 1,000 slots
  deploy       jobs of 5 s while all of 16 worker processes are replaced";

/// Measures this machine and this Postgres with the queue.
///
/// Creates a scratch database, starts its own worker processes in it, and drops it at the end. No live
/// table is touched. Needs the right to create databases. Throughput is the median of several rounds.
/// BARE is what the plain SQL statement reaches in the same rounds.
#[derive(Debug, Args)]
#[command(after_help = SCENARIOS)]
pub(super) struct Bench {
    /// One JSON object a figure and line, after one for the environment, instead of a table.
    #[arg(long, env = "WORKER_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
    /// Smaller and fewer rounds: less than 30 s in all.
    #[arg(long, env = "WORKER_QUICK", value_parser = BoolishValueParser::new())]
    quick: bool,
    /// Only these scenarios, in this order.
    #[arg(long, value_name = "NAME,…", env = "WORKER_ONLY", value_delimiter = ',', hide_possible_values = true,
          value_parser = scenario())]
    only: Vec<Scenario>,
    /// How often throughput is measured, 1 to 100 [default: 5, with --quick 2]
    #[arg(long, value_name = "N", env = "WORKER_ROUNDS", value_parser = value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// How many jobs a scenario works on, 1 to 100000000 [default: its own number]
    #[arg(long, value_name = "N", env = "WORKER_JOBS", value_parser = value_parser!(u64).range(1..=100_000_000))]
    jobs: Option<u64>,
    /// How long `held` and `soak` last, 1s to 1day [default: 10m and 30m]
    #[arg(long, value_name = "DURATION", env = "WORKER_MINUTES", value_parser = minutes)]
    minutes: Option<Duration>,
}

impl Bench {
    /// Measures until all is done or `shutdown`. Returns the exit status.
    pub async fn execute(self, shutdown: Shutdown) -> Result<u8, Failure> {
        let server = connection::database()?;
        let scenarios = if self.only.is_empty() { Scenario::USUAL.to_vec() } else { self.only };
        let plan = Plan { scenarios, rounds: self.rounds, jobs: self.jobs, time: self.minutes, quick: self.quick };
        let mut report = Report::new(Output::new(), self.json, &plan.scenarios);
        let result = bench::run(&server, &plan, &mut report, &shutdown).await;
        // Results from before a failure are still printed.
        report.end(result.as_deref().unwrap_or_default())?;
        result.map_err(failure)?;
        Ok(exit::DONE)
    }
}

/// The process that [`bench::run`] starts: not a command for people, and in no help.
#[derive(Debug)]
pub(super) struct BenchWorker(WorkerSetup);

impl BenchWorker {
    /// Whether the arguments are those of such a process.
    pub fn read(words: &[OsString]) -> Option<Self> {
        let [_, command, setup] = words else { return None };
        if command != WORKER_COMMAND {
            return None;
        }
        serde_json::from_str(setup.to_str()?).ok().map(Self)
    }

    pub async fn execute(self, shutdown: Shutdown) -> Result<u8, Failure> {
        bench::serve(&connection::database()?, self.0, shutdown).await.map_err(failure)?;
        Ok(exit::DONE)
    }
}

fn failure(error: BenchError) -> Failure {
    match error {
        BenchError::Database(error) => error.into(),
        other => Failure::Failed(other.to_string()),
    }
}

fn scenario() -> impl TypedValueParser<Value = Scenario> {
    let all = || Scenario::USUAL.into_iter().chain(Scenario::LONG);
    PossibleValuesParser::new(all().map(Scenario::name))
        .try_map(move |name| all().find(|scenario| scenario.name() == name).ok_or("there is no such scenario"))
}

/// A bare number means minutes.
fn minutes(text: &str) -> Result<Duration, String> {
    let with_unit = text.parse::<f64>().map_or_else(|_| text.to_owned(), |_| format!("{text}m"));
    between(SECOND..=DAY)(&with_unit)
}
