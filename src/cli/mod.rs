//! The command line `worker`.
//!
//! Promises: a command is parsed and checked as a whole ([`parse`]) before it does anything ([`Invocation::execute`]).
//! Data goes to standard output, all else to standard error. An error is one line: what happened, with what value, and
//! what to do next.
//!
//! No SQL: it uses [`admin`](crate::admin) like any other program, and [`bench`](crate::bench).

mod age;
mod args;
mod bench;
mod cancel;
mod completions;
mod connection;
mod duration;
mod each;
mod enqueue;
pub mod exit;
mod failed;
mod failure;
mod json_lines;
mod list;
mod migrate;
mod output;
mod pages;
mod pause;
mod queues;
mod retry;
mod roles;
mod run;
mod served_queues;
mod show;
mod stats;
mod table;
mod usage;
mod workers;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};

use self::args::{Cli, Command};
use self::bench::BenchWorker;
use self::failure::Failure;
use self::output::Output;
use self::roles::Roles;
use crate::program::{environment, logging};
use crate::worker::Shutdown;

/// A parsed and checked command.
#[derive(Debug)]
pub struct Invocation(Command);

/// Parses a command. The first word is the program's own name.
///
/// # Errors
/// The exit status of a command that ends here: help and version (0), wrong usage (2), already reported.
pub fn parse(typed: impl IntoIterator<Item = OsString>) -> Result<Invocation, u8> {
    let typed: Vec<OsString> = typed.into_iter().collect();
    if let Some(worker) = BenchWorker::read(&typed) {
        return Ok(Invocation(Command::BenchWorker(worker)));
    }
    let mut command = environment::tidied(Cli::command());
    command.build();
    let read = command.clone().try_get_matches_from(&typed).and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        if let (Command::Retry(retry), Some((_, matches))) = (&cli.command, matches.subcommand())
            && let Some(filter) = retry.misplaced_filter(matches)
        {
            let text = format!("--{filter} goes with --all-failed, not with ids");
            return Err(command.clone().error(clap::error::ErrorKind::ArgumentConflict, text));
        }
        Ok(cli)
    });
    match read {
        Ok(cli) => Ok(Invocation(cli.command)),
        Err(error) => Err(usage::tell(&error, &command, &typed)),
    }
}

impl Invocation {
    /// Runs it and returns the exit status (see [`exit`]). Errors have been reported.
    ///
    /// Needs a multi-threaded runtime: a command that is blocked by the reader of its output must still end at a
    /// signal.
    pub async fn execute(self) -> u8 {
        match self.result().await {
            Ok(status) => status,
            Err(failure) => failure.tell(),
        }
    }

    async fn result(self) -> Result<u8, Failure> {
        let _log = logging::init()?;
        let shutdown =
            Shutdown::on_signals().map_err(|error| Failure::Failed(format!("cannot wait for signals: {error}")))?;
        let command = match self.0 {
            // These must clean up first.
            Command::Run(run) => return run.execute(shutdown).await,
            Command::Bench(bench) => return bench.execute(shutdown).await,
            Command::BenchWorker(worker) => return worker.execute(shutdown).await,
            other => other,
        };
        end_at_a_signal(shutdown);
        let mut out = Output::new();
        let result = match command {
            Command::Run(_) | Command::Bench(_) | Command::BenchWorker(_) => Ok(()),
            Command::Migrate(migrate) => migrate.execute(&mut out).await,
            Command::Enqueue(enqueue) => enqueue.execute(&mut out).await,
            Command::Failed(failed) => failed.execute(&mut out).await,
            Command::List(list) => list.execute(&mut out).await,
            Command::Show(show) => show.execute(&mut out).await,
            Command::Retry(retry) => retry.execute(&mut out).await,
            Command::Cancel(cancel) => cancel.execute(&mut out).await,
            Command::Pause(pause) => pause.execute(&mut out).await,
            Command::Resume(resume) => resume.execute(&mut out).await,
            Command::Stats(stats) => stats.execute(&mut out).await,
            Command::Queues(queues) => queues.execute(&mut out).await,
            Command::Workers(workers) => workers.execute(&mut out).await,
            Command::Roles(_) => Roles::execute(&mut out),
            Command::Completions(completions) => completions.execute(&mut out),
        };
        // Output from before a failure is still printed.
        out.flush()?;
        result.map(|()| exit::DONE)
    }
}

/// Other commands have nothing to clean up: the first signal ends them, with a status of ours. The database rolls
/// back what they were doing.
fn end_at_a_signal(shutdown: Shutdown) {
    tokio::spawn(async move {
        shutdown.begun().await;
        failure::tell("interrupted by a signal");
        std::process::exit(i32::from(exit::FAILED));
    });
}
