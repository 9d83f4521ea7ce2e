//! A worker process, seen from the run that measures it.
//!
//! Promise: it does not outlive the run. It is killed when let go of, and ends by itself when the run
//! is killed, since its standard input ends then.

use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::error::BenchError;
use super::measured_worker::WorkerSetup;
use super::process_usage::Usage;
use crate::JobId;

/// The word by which the program knows that it is to be such a process. Not a command for people.
pub const WORKER_COMMAND: &str = "bench-worker";

/// How long it may take to end once told to.
const STOP_WITHIN: Duration = Duration::from_secs(20);

pub(super) struct WorkerProcess {
    child: Child,
    pid: u32,
    /// Its end is the sign to stop.
    stdin: Option<ChildStdin>,
    /// The last line on its standard error.
    said: Arc<Mutex<String>>,
    _followers: [AbortOnDropHandle<()>; 2],
}

impl WorkerProcess {
    /// Starts one; `started` hears of each start of a handler, where the setup says so.
    pub fn start(
        setup: &WorkerSetup,
        mut started: impl FnMut(JobId, u64) + Send + 'static,
    ) -> Result<Self, BenchError> {
        let setup = serde_json::to_string(setup).map_err(io::Error::from)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args([WORKER_COMMAND, &setup]).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn");
        }
        // A Ctrl-C at the terminal is for the run, which then ends its workers.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let (pid, stdin) = (child.id().unwrap_or_default(), child.stdin.take());
        let said = Arc::new(Mutex::new(String::from("nothing")));
        let heard = Arc::clone(&said);
        let stderr = follow(child.stderr.take(), move |line| {
            line.clone_into(&mut heard.lock().unwrap_or_else(PoisonError::into_inner));
        });
        let stdout = follow(child.stdout.take(), move |line| {
            if let Some((Ok(id), Ok(at))) = line.split_once(' ').map(|(id, at)| (id.parse(), at.parse())) {
                started(id, at);
            }
        });
        Ok(Self { child, pid, stdin, said, _followers: [stderr, stdout] })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has used so far, where the system tells.
    pub fn usage(&self) -> Option<Usage> {
        Usage::of(self.pid)
    }

    /// Fails where it has ended by itself.
    pub fn check(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait()? {
            Some(status) => Err(self.ended(status.to_string())),
            None => Ok(()),
        }
    }

    /// Lets it finish what it runs, and waits for its end.
    pub async fn stop(mut self) -> Result<(), BenchError> {
        drop(self.stdin.take());
        let seconds = STOP_WITHIN.as_secs();
        let waited = timeout(STOP_WITHIN, self.child.wait()).await;
        let status = waited.map_err(|_| BenchError::Stalled { what: "the end of a worker process", seconds })??;
        if status.success() { Ok(()) } else { Err(self.ended(status.to_string())) }
    }

    /// Ends it at once, whatever it runs.
    pub async fn kill(mut self) -> Result<(), BenchError> {
        Ok(self.child.kill().await?)
    }

    fn ended(&self, status: String) -> BenchError {
        BenchError::WorkerEnded { status, said: self.said.lock().unwrap_or_else(PoisonError::into_inner).clone() }
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
