//! The command line `worker`.
//!
//! A command is read and checked whole ([`parse`]) before anything is done ([`Invocation::execute`]).
//! Data goes to standard output, all else to standard error; a mistake is told in one line that
//! says what happened, with what value, and what to do next. Knows no SQL: it looks and steers
//! through [`operate`](crate::operate), as any other program can, and measures through
//! [`bench`](crate::bench).

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
pub mod logging;
mod migrate;
mod output;
mod pages;
mod pause;
mod queues;
mod retry;
mod run;
mod show;
mod stats;
mod table;
mod usage;
mod visible;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};

use self::args::{Cli, Command};
use self::bench::BenchWorker;
use self::failure::Failure;
use self::output::Output;
use crate::Shutdown;

/// A command, understood and checked, that has not done anything yet.
#[derive(Debug)]
pub struct Invocation(Command);

/// Reads a command, the program's own name first.
///
/// # Errors
/// The exit status of a command that ends here: help and version (0), a mistake (2). It has been
/// told what is wrong.
pub fn parse(typed: impl IntoIterator<Item = OsString>) -> Result<Invocation, u8> {
    let typed: Vec<OsString> = typed.into_iter().collect();
    if let Some(worker) = BenchWorker::read(&typed) {
        return Ok(Invocation(Command::BenchWorker(worker)));
    }
    let mut command = Cli::command();
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
    /// Does it, and returns the exit status (see [`exit`]). What went wrong has been told.
    ///
    /// Wants a runtime of several threads: a command that is held up by whoever reads its output
    /// still ends at a signal.
    pub async fn execute(self) -> u8 {
        match self.result().await {
            Ok(status) => status,
            Err(failure) => failure.tell(),
        }
    }

    async fn result(self) -> Result<u8, Failure> {
        logging::init()?;
        let shutdown =
            Shutdown::on_signals().map_err(|error| Failure::Failed(format!("cannot wait for signals: {error}")))?;
        let command = match self.0 {
            // These have something to end first.
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
            Command::Completions(completions) => completions.execute(&mut out),
        };
        // What was shown before a failure is shown all the same.
        out.flush()?;
        result.map(|()| exit::DONE)
    }
}

/// The other commands have nothing to end first: the first signal ends them, with a status of ours.
/// What the database was doing for them is rolled back.
fn end_at_a_signal(shutdown: Shutdown) {
    tokio::spawn(async move {
        shutdown.begun().await;
        failure::tell("interrupted by a signal");
        std::process::exit(i32::from(exit::FAILED));
    });
}
