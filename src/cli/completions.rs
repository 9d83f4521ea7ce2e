//! `worker completions`.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::args::Cli;
use super::failure::Failure;
use super::output::Output;

/// Prints the completion script of a shell.
///
/// For bash: source <(worker completions bash)
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn execute(&self, out: &mut Output) -> Result<(), Failure> {
        // Through memory, because the generator panics if nobody reads its output.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "worker", &mut script);
        let script = String::from_utf8(script).map_err(|_| {
            Failure::Failed(format!("the script for {:?} is not UTF-8", self.shell.to_possible_value()))
        })?;
        out.line(script.trim_end())
    }
}
