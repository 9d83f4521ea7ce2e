//! A worker of the fleet: this test's own program, run once more as a process that can be killed.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postrider::{Context, Database, Shutdown, Worker};

use super::THIS_TEST;
use super::chore::Chore;
use super::ledger;

/// Of all workers: short, so that many are declared dead.
pub const LEASE: Duration = Duration::from_secs(4);

/// By how much the clock of a skewed worker is ahead.
const SKEW: Duration = Duration::from_hours(3);

const RUNS: &str = "CHAOS_WORKER_RUNS";
const SKEWED: &str = "CHAOS_WORKER_SKEWED";

/// What this process is to be, where it is a worker.
pub struct WorkerProcess {
    runs: PathBuf,
    /// What to take from the clock before it is written down.
    skew: Duration,
}

/// Whether this process was started by [`command`].
pub fn wanted() -> Option<WorkerProcess> {
    let runs = std::env::var_os(RUNS)?.into();
    let skew = if std::env::var_os(SKEWED).is_some() { SKEW } else { Duration::ZERO };
    Some(WorkerProcess { runs, skew })
}

/// Starts a worker that writes its runs into this file. A library of faketime's skews its clock.
pub fn command(database_url: &str, runs: &Path, faketime: Option<&Path>) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([THIS_TEST, "--exact", "--nocapture"]).env(RUNS, runs).env("DATABASE_URL", database_url);
    if let Some(library) = faketime {
        // Not the command `faketime`: it is a parent, and would be killed in place of the worker.
        command.env("LD_PRELOAD", library).env("FAKETIME", format!("+{}s", SKEW.as_secs())).env(SKEWED, "1");
        // Timers go by the monotonic clock, which nobody sets.
        command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    command
}

impl WorkerProcess {
    pub async fn run(self) {
        let filter = tracing_subscriber::EnvFilter::new("info");
        tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
        let url = std::env::var("DATABASE_URL").expect("a URL");
        let database = Database::from_url(&url).expect("a good URL").with_pool_size(4);
        let runs = OpenOptions::new().create(true).append(true).open(&self.runs).expect("the ledger");
        let recorder = Arc::new(Recorder { runs, skew: self.skew, started: AtomicU64::new(0) });
        Worker::new(database, recorder)
            .queue("default", 20)
            .lease(LEASE)
            .handle(|chore: Chore, cx: Context<Arc<Recorder>>| async move {
                let mut run = Run::start(&chore.key, &cx);
                let held = if chore.greedy { cx.database().client().await.ok() } else { None };
                tokio::time::sleep(Duration::from_millis(chore.millis)).await;
                drop(held);
                run.end = ledger::DONE;
                Ok(())
            })
            .run(Shutdown::on_signals().expect("signals"))
            .await
            .expect("the worker ends well");
    }
}

/// Writes down what handlers do: each line is one append, and survives a kill -9.
struct Recorder {
    runs: File,
    skew: Duration,
    started: AtomicU64,
}

impl Recorder {
    fn write(&self, line: &str) {
        let at = ledger::now() - i64::try_from(self.skew.as_micros()).expect("hours");
        (&self.runs).write_all(format!("{at} {line}\n").as_bytes()).expect("the ledger");
    }
}

/// One run of a handler.
struct Run {
    recorder: Arc<Recorder>,
    number: u64,
    end: &'static str,
}

impl Run {
    fn start(key: &str, cx: &Context<Arc<Recorder>>) -> Self {
        let recorder = Arc::clone(cx.state());
        let number = recorder.started.fetch_add(1, Ordering::Relaxed);
        let (start, attempt, worker) = (ledger::STARTED, cx.attempt(), cx.worker_id());
        recorder.write(&format!("{start} {number} {key} {attempt} {worker}"));
        Self { recorder, number, end: ledger::DROPPED }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.recorder.write(&format!("{} {}", self.end, self.number));
    }
}
