//! The handle of a worker process in the run that measures it.
//!
//! Promise: the process does not outlive the run. Dropping the handle kills it. If the run is killed, the standard
//! input of the process ends, and the process exits.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::error::BenchError;
use super::measured_worker::WorkerSetup;
use super::process_usage::Usage;
use crate::job::JobId;
use crate::program::environment::variable;

/// The hidden subcommand that runs the program as such a process.
pub const WORKER_COMMAND: &str = "bench-worker";

/// The time limit for the process to stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);

pub(super) struct WorkerProcess {
    child: Child,
    pid: u32,
    /// Closing it stops the process.
    stdin: Option<ChildStdin>,
    /// The last line of its standard error.
    last_line: Arc<Mutex<String>>,
    _followers: [AbortOnDropHandle<()>; 2],
}

impl WorkerProcess {
    /// Starts a process. Calls `started` at each start of a handler if the setup enables reports.
    pub fn start(
        setup: &WorkerSetup,
        mut started: impl FnMut(JobId, u64) + Send + 'static,
    ) -> Result<Self, BenchError> {
        let setup = serde_json::to_string(setup).map_err(io::Error::from)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args([WORKER_COMMAND, &setup]).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Ok(None) = variable("RUST_LOG") {
            command.env("RUST_LOG", "warn");
        }
        // A Ctrl-C at the terminal must reach only the run, which then ends its workers.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let (pid, stdin) = (child.id().unwrap_or_default(), child.stdin.take());
        let last_line = Arc::new(Mutex::new(String::from("nothing")));
        let heard = Arc::clone(&last_line);
        let stderr = follow(child.stderr.take(), move |line| {
            line.clone_into(&mut heard.lock());
        });
        let stdout = follow(child.stdout.take(), move |line| {
            if let Some((Ok(id), Ok(at))) = line.split_once(' ').map(|(id, at)| (id.parse(), at.parse())) {
                started(id, at);
            }
        });
        Ok(Self { child, pid, stdin, last_line, _followers: [stderr, stdout] })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns its resource usage so far, if the system provides it.
    pub fn usage(&self) -> Option<Usage> {
        Usage::of(self.pid)
    }

    /// Fails if the process has ended by itself.
    pub fn check(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait()? {
            Some(status) => Err(self.ended(status.to_string())),
            None => Ok(()),
        }
    }

    /// Shuts the process down: it drains. Waits for its end.
    pub async fn stop(mut self) -> Result<(), BenchError> {
        drop(self.stdin.take());
        let seconds = STOP_WITHIN.as_secs();
        let waited = timeout(STOP_WITHIN, self.child.wait()).await;
        let status = waited.map_err(|_| BenchError::Stalled { what: "the end of a worker process", seconds })??;
        if status.success() { Ok(()) } else { Err(self.ended(status.to_string())) }
    }

    /// Kills the process, whatever it runs.
    pub async fn kill(mut self) -> Result<(), BenchError> {
        Ok(self.child.kill().await?)
    }

    fn ended(&self, status: String) -> BenchError {
        BenchError::WorkerEnded { status, last_line: self.last_line.lock().clone() }
    }
}

fn follow<R: AsyncRead + Send + Unpin + 'static>(
    stream: Option<R>,
    mut take: impl FnMut(&str) + Send + 'static,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let Some(stream) = stream else { return };
        let mut lines: Lines<_> = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            take(&line);
        }
    }))
}
