//! Plain text on standard error, for a person: why a program did not start, or what a command could not do.
//!
//! Promise: it never blocks. If standard error is a pipe that nobody reads, the text is dropped after a second.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

/// How long the reader may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes one line.
pub(crate) fn tell(line: &str) {
    let line = format!("{line}\n");
    let (done, written) = mpsc::channel();
    std::thread::spawn(move || {
        // Standard error is gone, so there is no place to report it.
        let _ = std::io::stderr().write_all(line.as_bytes());
        let _ = done.send(());
    });
    let _ = written.recv_timeout(PATIENCE);
}
