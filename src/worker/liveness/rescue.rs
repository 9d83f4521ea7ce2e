//! Rescue: returns the jobs of dead workers to their queues. Every worker does it for all peers.
//!
//! A peer is dead when, without a heartbeat in between,
//! - its liveness lock was free in two probes at least a second apart, while the server on which it took the lock
//!   still runs; or
//! - its heartbeat has not changed for its lease (minus the time of two probes), as observed by a worker that could
//!   reach the database throughout. After an outage the time restarts.
//!
//! One statement deletes the lease, only if no heartbeat has arrived since the probe, and returns the jobs. The
//! statement also decides which of them are discarded.
//!
//! Promises: running it twice is safe, because the lease is deleted once, and only jobs that are still `running` under
//! the dead worker are returned. A scan for stranded jobs finds those that this statement did not reach: at the start,
//! after the death of a peer and every 10 min. Workers that share a database spread their scans, each of which reads all
//! due jobs, over 5 s a worker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::Error;
use crate::job::State;
use crate::observe::Event;
use crate::postgres::within;
use crate::store::history::make_partition_for;
use crate::store::worker::{self as store, Peer, Rescued};
use crate::worker::finish::report::report_discarded;
use crate::worker::handles::WorkerHandles;
use crate::worker::liveness::lease::{dead_after, on_session};

/// How often to probe.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How long a liveness lock must be free, over two probes.
const FREE_FOR: Duration = Duration::from_secs(1);
/// The same after an outage that this worker has seen. A crash of the server frees all locks, and peers that live need
/// up to 1.5 s to reconnect, and to take theirs again.
const FREE_FOR_AFTER_OUTAGE: Duration = Duration::from_secs(4);
/// How long that applies.
const OUTAGE_COUNTS_FOR: Duration = Duration::from_secs(10);
/// A longer gap between two probes (this worker was frozen or disconnected) proves nothing.
const LONGEST_GAP: Duration = Duration::from_secs(3);
/// How soon to retry stranded jobs with locked rows.
const LOCKED_AGAIN: Duration = Duration::from_secs(1);
/// A dead worker's claim may still commit this long after the worker was declared dead.
const STRANDED_AFTER: Duration = Duration::from_secs(6);
/// How often to scan for stranded jobs in any case. The scan reads all jobs that are due.
const STRANDED_EVERY: Duration = Duration::from_mins(10);
/// Over how long the live peers spread their scans, each: they start together, and see a death together.
const STRANDED_SPREAD: Duration = Duration::from_secs(5);
const RESCUE_TIMEOUT: Duration = Duration::from_secs(30);

/// What this worker has observed of a peer since its heartbeat last changed.
struct Watched {
    heartbeat_at: DateTime<Utc>,
    since: Instant,
    lock_free_since: Option<Instant>,
}

pub(in crate::worker) struct Rescuer {
    handles: Arc<WorkerHandles>,
    watched: HashMap<Uuid, Watched>,
    probed_at: Instant,
    /// When a probe failed last.
    failed_at: Option<Instant>,
    /// None before the first probe.
    next_stranded_scan: Option<Instant>,
    /// By when the last claims of a dead worker commit, if ever.
    late_stranded_scan: Option<Instant>,
}

impl Rescuer {
    pub fn new(handles: Arc<WorkerHandles>) -> Self {
        let now = Instant::now();
        Self {
            handles,
            watched: HashMap::new(),
            probed_at: now,
            failed_at: None,
            next_stranded_scan: None,
            late_stranded_scan: None,
        }
    }

    /// Probes until it is dropped.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            if let Err(error) = self.probe_peers().await {
                self.watched.clear();
                self.failed_at = Some(Instant::now());
                tracing::warn!(%error, "peers could not be probed; trying again");
            }
        }
    }

    async fn probe_peers(&mut self) -> Result<(), Error> {
        let me = self.handles.lease.worker_id();
        let peers = on_session(&self.handles, async |session| store::probe_peers(session, me).await).await?;
        let now = Instant::now();
        let gap = now - self.probed_at;
        self.probed_at = now;
        self.watched.retain(|id, _| peers.iter().any(|peer| peer.id == *id));
        let (dead, live): (Vec<_>, Vec<_>) = peers.into_iter().partition(|peer| self.is_dead(peer, now, gap));
        self.handles.set_live_peers(live.len());
        let spread = spread(live.len());
        self.next_stranded_scan.get_or_insert(now + spread);
        for peer in dead {
            // Set before the rescue, which may take effect although its answer is lost. Then the peer's jobs far
            // behind the front are stranded now, and those of its last claims later.
            self.next_stranded_scan = self.next_stranded_scan.min(Some(now + spread));
            self.late_stranded_scan = Some(now + STRANDED_AFTER + spread);
            match self.rescue(&peer).await {
                Ok(()) => drop(self.watched.remove(&peer.id)),
                // The other peers have their turn.
                Err(error) if error.is_refusal() || error.is_locked_out() => {
                    tracing::warn!(worker_id = %peer.id, %error, "a dead worker's jobs could not be rescued; trying again");
                }
                Err(error) => return Err(error),
            }
        }
        let is_due = |scan: Option<Instant>| scan.is_some_and(|at| at <= now);
        if is_due(self.next_stranded_scan) || is_due(self.late_stranded_scan) {
            let (stranded, locked) = within(RESCUE_TIMEOUT, store::rescue_stranded(&self.handles.database)).await?;
            self.report(&stranded);
            self.next_stranded_scan = Some(now + if locked > 0 { LOCKED_AGAIN } else { STRANDED_EVERY });
            self.late_stranded_scan = self.late_stranded_scan.filter(|at| *at > now);
        }
        Ok(())
    }

    fn is_dead(&mut self, peer: &Peer, now: Instant, gap: Duration) -> bool {
        let lease = Duration::from_millis(u64::try_from(peer.lease_ms).unwrap_or(0));
        let watched = self.watched.entry(peer.id).or_insert(Watched {
            heartbeat_at: peer.heartbeat_at,
            since: now,
            lock_free_since: None,
        });
        if watched.heartbeat_at != peer.heartbeat_at || gap > LONGEST_GAP.min(lease / 2) {
            *watched = Watched { heartbeat_at: peer.heartbeat_at, since: now, lock_free_since: None };
        }
        if peer.lock_is_free && watched.lock_free_since.is_none() {
            // If the peer held an idle lock, no worker holds it now.
            self.handles.idle_locks.verify_peers();
        }
        watched.lock_free_since = if peer.lock_is_free { watched.lock_free_since.or(Some(now)) } else { None };
        let free_for = free_for(now, self.failed_at);
        watched.lock_free_since.is_some_and(|since| now - since >= free_for) || now - watched.since >= dead_after(lease)
    }

    async fn rescue(&self, peer: &Peer) -> Result<(), Error> {
        let (database, kept) = (&self.handles.database, self.handles.config.retention.discarded_seconds());
        let rescue = async |discards| {
            within(RESCUE_TIMEOUT, store::rescue_worker(database, peer.id, peer.heartbeat_at, kept, discards)).await
        };
        let mut rescued = rescue(true).await;
        if rescued.as_ref().is_err_and(Error::lacks_partition)
            && within(RESCUE_TIMEOUT, make_partition_for(database, kept)).await.is_ok()
        {
            rescued = rescue(true).await;
        }
        if let Err(error) = &rescued
            && error.is_refusal()
        {
            tracing::warn!(worker_id = %peer.id, %error, "the history refuses a dead worker's job; the others are rescued");
            rescued = rescue(false).await;
        }
        let rescued = rescued?;
        tracing::warn!(worker_id = %peer.id, jobs = rescued.len(), "worker declared dead");
        self.report(&rescued);
        Ok(())
    }

    fn report(&self, rescued: &[Rescued]) {
        for job in rescued {
            self.handles.metrics.rescued.increment();
            let attempt = job.attempt.unsigned_abs();
            self.handles.events.send(|| Event::JobRescued { job_id: job.id, kind: job.kind.clone(), attempt });
            let worker_id = job.worker.map(|id| id.to_string());
            tracing::warn!(worker_id, job_id = job.id, kind = job.kind, attempt = job.attempt, "job rescued");
            if job.discarded {
                let metrics = &self.handles.metrics;
                report_discarded(metrics, job.id, &job.kind, job.attempt, job.max_attempts, &job.error);
                let (job_id, kind, state) = (job.id, job.kind.clone(), State::Discarded);
                self.handles.events.send(|| Event::JobFinished { job_id, kind, attempt, state });
            }
        }
        if !rescued.is_empty() {
            self.handles.wake.all();
        }
    }
}

/// How long to wait before a scan that the live peers run, too. A worker alone does not wait.
fn spread(live_peers: usize) -> Duration {
    STRANDED_SPREAD.mul_f64(fastrand::f64()) * u32::try_from(live_peers).unwrap_or(u32::MAX)
}

/// How long a liveness lock must be free now.
fn free_for(now: Instant, failed_at: Option<Instant>) -> Duration {
    let is_after_outage = failed_at.is_some_and(|at| now.saturating_duration_since(at) < OUTAGE_COUNTS_FOR);
    if is_after_outage { FREE_FOR_AFTER_OUTAGE } else { FREE_FOR }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_an_outage_peers_have_time_to_reconnect() {
        let failed_at = Instant::now();
        let at = |seconds| free_for(failed_at + Duration::from_secs(seconds), Some(failed_at));
        assert_eq!(free_for(failed_at, None), FREE_FOR);
        assert_eq!((at(0), at(9)), (FREE_FOR_AFTER_OUTAGE, FREE_FOR_AFTER_OUTAGE));
        assert_eq!(at(10), FREE_FOR);
    }
}
