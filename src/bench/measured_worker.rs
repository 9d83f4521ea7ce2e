//! The measured worker: a separate process, so that its CPU and memory are those of a worker only.
//!
//! Promises: a [`Worker`] with its default settings, except for those in [`WorkerSetup`]. It ends at the end of its
//! standard input, and thus also when the run that started it is killed.

use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::error::BenchError;
use super::jobs::Noop;
use crate::job::{DEFAULT_QUEUE, JobId};
use crate::postgres::Database;
use crate::worker::{Context, Shutdown, Worker};

/// The settings of a worker process, passed as one command-line argument.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct WorkerSetup {
    /// The scratch database, on the server of `DATABASE_URL`.
    pub(super) database: String,
    /// Slots of the queue `default`.
    pub(super) slots: usize,
    /// How long a job takes. `None`: the handler returns at once.
    pub(super) work: Option<Duration>,
    /// Whether the history keeps completed jobs.
    pub(super) keep_completed: bool,
    /// Whether to write the start of each handler to standard output: the job's id, and the time in nanoseconds since
    /// 1970.
    pub(super) reports: bool,
}

/// Runs the worker until standard input ends or `shutdown`.
///
/// # Errors
/// Those of [`Worker::run`].
pub async fn serve(server: &Database, setup: WorkerSetup, shutdown: Shutdown) -> Result<(), BenchError> {
    end_with_standard_input(shutdown.clone())?;
    let reports = if setup.reports { Some(reporter()?) } else { None };
    let work = setup.work;
    let database = server.beside(&setup.database);
    Worker::new(database, reports)
        .queue(DEFAULT_QUEUE, setup.slots)
        .keep_completed(DEFAULT_QUEUE, setup.keep_completed)
        .handle(move |_: Noop, cx: Context<Option<mpsc::Sender<Start>>>| async move {
            if let Some(reports) = cx.state() {
                // Fails only if the run has ended.
                let _ = reports.send((cx.job_id(), nanoseconds_now()));
            }
            if let Some(work) = work {
                tokio::time::sleep(work).await;
            }
            Ok(())
        })
        .run(shutdown)
        .await?;
    Ok(())
}

/// A job and when its handler began.
type Start = (JobId, u64);

/// Returns the time in nanoseconds since 1970, which is comparable between processes of a host.
pub(super) fn nanoseconds_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes starts on a dedicated thread, so that no handler waits for the pipe.
fn reporter() -> io::Result<mpsc::Sender<Start>> {
    let (sender, starts) = mpsc::channel::<Start>();
    std::thread::Builder::new().name("reports".to_owned()).spawn(move || {
        let mut out = io::BufWriter::new(io::stdout());
        while let Ok((id, at)) = starts.recv() {
            let mut next = Some((id, at));
            while let Some((id, at)) = next {
                if writeln!(out, "{id} {at}").is_err() {
                    return;
                }
                next = starts.try_recv().ok();
            }
            if out.flush().is_err() {
                return;
            }
        }
    })?;
    Ok(sender)
}

fn end_with_standard_input(shutdown: Shutdown) -> io::Result<()> {
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut ignored = [0; 64];
        while io::stdin().read(&mut ignored).is_ok_and(|read| read > 0) {}
        shutdown.begin();
    })?;
    Ok(())
}
