//! Detects a change of the server: a restart or a promoted standby.
//!
//! The new server may lack commits of the former one: claims, which do not wait for the flush, and with an
//! asynchronous standby also outcomes and whole jobs. So the worker reconciles. It releases jobs that the database
//! records as its own but that it does not run. It stops attempts of jobs that the database does not have.
//!
//! Promise: no job stays `running` without a handler. No lost job is mistaken for a new one with the same id (see
//! `in_flight`).

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::Mutex;

use crate::error::Error;
use crate::store::claim::vanished_jobs;
use crate::store::session::Session;
use crate::worker::handles::WorkerHandles;
use crate::worker::in_flight::StopReason;

/// The server that answered last.
#[derive(Clone, Debug)]
struct Server {
    started_at: DateTime<Utc>,
    /// None if the server does not report it.
    timeline: Option<String>,
}

/// The current server, and how often it has changed.
#[derive(Default)]
pub(in crate::worker) struct Servers {
    current: Mutex<Option<Server>>,
    changes: AtomicU64,
}

impl Servers {
    /// Whether this is the first server or differs from the last.
    pub fn is_new(&self, started_at: DateTime<Utc>) -> bool {
        self.current.lock().as_ref().is_none_or(|server| server.started_at != started_at)
    }

    /// Records the server. Returns whether another one was recorded before.
    pub fn note(&self, started_at: DateTime<Utc>, timeline: Option<String>) -> bool {
        let server = Server { started_at, timeline };
        let former = self.current.lock().replace(server.clone());
        let Some(former) = former else { return false };
        let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
        if server.timeline == former.timeline {
            tracing::warn!(
                server_started_at = text(server.started_at),
                former_server_started_at = text(former.started_at),
                timeline = server.timeline,
                "database restarted"
            );
        } else {
            tracing::warn!(
                server_started_at = text(server.started_at),
                former_server_started_at = text(former.started_at),
                timeline = server.timeline,
                former_timeline = former.timeline,
                "database failed over"
            );
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// The number of server changes.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

/// Stops the handlers of jobs that the database has lost: their outcomes cannot be recorded.
pub(in crate::worker) async fn stop_vanished(handles: &WorkerHandles, session: &Session) -> Result<(), Error> {
    let running: Vec<_> = handles.in_flight.all().into_iter().filter(|job| job.is_running()).collect();
    let keys: Vec<_> = running.iter().map(|job| job.key).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let vanished = vanished_jobs(session, &keys).await?;
    for job in running {
        // A job that its handler has completed in a transaction is finished, not lost.
        if vanished.contains(&job.key) && !job.completes_in_transaction() && !job.has_ended() {
            tracing::warn!(
                job_id = job.key.id,
                kind = job.kind,
                attempt = job.attempt,
                "the database has lost a running job; its attempt is stopped"
            );
            job.stop(StopReason::Lost);
        }
    }
    Ok(())
}
