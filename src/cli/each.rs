//! Commands that do one thing to each of several: they go on past single failures.

use super::failure::{Failure, tell};
use super::output::Output;

/// What became of several things, told one line each: successes on standard output, failures on
/// standard error.
pub(super) struct Each<'o> {
    out: &'o mut Output,
    failed: u64,
}

impl<'o> Each<'o> {
    pub fn new(out: &'o mut Output) -> Self {
        Self { out, failed: 0 }
    }

    /// Tells of one. Where nobody reads standard output any more the work still goes on.
    pub fn was(&mut self, result: Result<String, Failure>) -> Result<(), Failure> {
        match result {
            Ok(line) => {
                self.out.line(&line)?;
                self.out.flush()
            }
            Err(Failure::Usage(text) | Failure::Failed(text)) => {
                self.failed += 1;
                tell(&text);
                Ok(())
            }
            Err(Failure::Told) => {
                self.failed += 1;
                Ok(())
            }
        }
    }

    /// The result of the whole command.
    pub fn end(self) -> Result<(), Failure> {
        if self.failed == 0 { Ok(()) } else { Err(Failure::Told) }
    }
}
