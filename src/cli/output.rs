//! Standard output: only data.
//!
//! Promise: if its reader ends (`worker list | head -1`), the command ends without an error message, with success. Any
//! other error of standard output is a failure.

use std::io::{self, BufWriter, Stdout, Write};

use super::failure::Failure;

pub(super) struct Output {
    stdout: BufWriter<Stdout>,
    gone: bool,
}

impl Output {
    pub fn new() -> Self {
        Self { stdout: BufWriter::new(io::stdout()), gone: false }
    }

    /// Prints one line.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.write(|out| writeln!(out, "{text}"))
    }

    /// Flushes.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.write(Write::flush)
    }

    /// Whether the reader is gone, so that more output is useless.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    fn write(&mut self, act: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>) -> Result<(), Failure> {
        if self.gone {
            return Ok(());
        }
        match act(&mut self.stdout) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            Err(error) => Err(Failure::Failed(format!("standard output: {error}"))),
            Ok(()) => Ok(()),
        }
    }
}
