//! Commands on several jobs or queues: they continue after single failures.

use super::failure::{Failure, tell};
use super::output::Output;

/// Reports each result on one line: successes on standard output, failures on standard error.
pub(super) struct Each<'o> {
    out: &'o mut Output,
    failed: u64,
}

impl<'o> Each<'o> {
    pub fn new(out: &'o mut Output) -> Self {
        Self { out, failed: 0 }
    }

    /// Reports one. The work goes on even if nobody reads standard output any more.
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
            Err(Failure::AlreadyReported) => {
                self.failed += 1;
                Ok(())
            }
        }
    }

    /// Reports several successes at once.
    pub fn were(&mut self, lines: impl Iterator<Item = String>) -> Result<(), Failure> {
        for line in lines {
            self.out.line(&line)?;
        }
        self.out.flush()
    }

    /// The result of the whole command.
    pub fn end(self) -> Result<(), Failure> {
        if self.failed == 0 { Ok(()) } else { Err(Failure::AlreadyReported) }
    }
}
