//! The worker that is measured: a process of its own, so that CPU and memory are those of a worker
//! and of nothing else.
//!
//! Promises: a [`Worker`] at its default settings, but for what [`WorkerSetup`] says; it ends when its
//! standard input does, so also when the run that started it is killed.

use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::error::BenchError;
use super::jobs::Noop;
use crate::job::{DEFAULT_QUEUE, JobId};
use crate::{Context, Database, Shutdown, Worker};

/// What a worker process is told, as one argument of its command line.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct WorkerSetup {
    /// The scratch database, on the server of `DATABASE_URL`.
    pub(super) database: String,
    /// Slots of the queue `default`.
    pub(super) slots: usize,
    /// How long a job takes; none: no time at all.
    pub(super) work: Option<Duration>,
    /// Whether the start of each handler is written to standard output: the job's id, and the time in
    /// nanoseconds since 1970.
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
        .handle(move |_: Noop, cx: Context<Option<mpsc::Sender<Start>>>| async move {
            if let Some(reports) = cx.state() {
                // Nobody reads on where the run has ended.
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

/// The time in nanoseconds since 1970, by which two processes of a host compare events.
pub(super) fn nanoseconds_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes starts on a thread of its own, so that no handler waits for the pipe.
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
