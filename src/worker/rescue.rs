//! Taking back the jobs of dead workers. Every worker does it for all others.
//!
//! A worker is dead when, without a heartbeat in between,
//! - its session lock was free on two looks at least a second apart, while the server on which it
//!   took the lock still runs; or
//! - its heartbeat has not moved for its lease (less the time of two looks), as seen by this worker
//!   over a time in which it could reach the database throughout: after an outage everybody's time
//!   starts afresh.
//!
//! The row of the lease is deleted only if no heartbeat came since it was looked at, and with it,
//! in the same statement, its jobs return. Doing that twice is safe.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::lease::given_up_after;
use super::report::report_discarded;
use super::shared::Shared;
use crate::Error;
use crate::database::within;
use crate::store::worker::{self as store, Peer, Rescued};

/// How often to look.
const LOOK: Duration = Duration::from_millis(500);
/// How long a session lock must be free, over two looks.
const FREE_FOR: Duration = Duration::from_secs(1);
/// A longer gap between two looks (this worker was frozen, or cut off) proves nothing.
const LONGEST_GAP: Duration = Duration::from_secs(3);
/// How soon to look again for strays that somebody has locked.
const LOCKED_AGAIN: Duration = Duration::from_secs(1);
/// A claim of a dead worker may still be committed this long after it was given up.
const STRAYS_AFTER: Duration = Duration::from_secs(6);
/// How often to look for strays in any case: it reads the whole table of unfinished jobs.
const STRAYS_EVERY: Duration = Duration::from_mins(10);
const RESCUE_TIMEOUT: Duration = Duration::from_secs(30);

/// What is known of a peer since its heartbeat last moved.
struct Watched {
    heartbeat_at: DateTime<Utc>,
    since: Instant,
    lock_free_since: Option<Instant>,
}

pub(super) struct Rescuer {
    shared: Arc<Shared>,
    watched: HashMap<Uuid, Watched>,
    looked_at: Instant,
    strays_at: Instant,
    /// When the last claims of a dead worker are committed, if ever.
    late_strays_at: Option<Instant>,
}

impl Rescuer {
    pub fn new(shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        Self { shared, watched: HashMap::new(), looked_at: now, strays_at: now, late_strays_at: None }
    }

    /// Looks until stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let round = tokio::select! {
                () = stop.cancelled() => return,
                round = self.round() => round,
            };
            if let Err(error) = round {
                self.watched.clear();
                tracing::warn!(%error, "other workers could not be looked at; trying again");
            }
        }
    }

    async fn round(&mut self) -> Result<(), Error> {
        let me = self.shared.lease.worker_id();
        let peers = within(LONGEST_GAP, store::look_at_peers(&self.shared.database, me)).await?;
        let now = Instant::now();
        let gap = now - self.looked_at;
        self.looked_at = now;
        self.watched.retain(|id, _| peers.iter().any(|peer| peer.id == *id));
        for peer in peers {
            if self.is_dead(&peer, now, gap) {
                // First, since the rescue may take effect although its answer is lost: its jobs far behind the
                // front at once, its last claims later.
                (self.strays_at, self.late_strays_at) = (now, Some(now + STRAYS_AFTER));
                self.rescue(&peer).await?;
                self.watched.remove(&peer.id);
            }
        }
        if self.strays_at <= now || self.late_strays_at.is_some_and(|at| at <= now) {
            let (strays, locked) = within(RESCUE_TIMEOUT, store::rescue_strays(&self.shared.database)).await?;
            self.report(&strays);
            self.strays_at = now + if locked > 0 { LOCKED_AGAIN } else { STRAYS_EVERY };
            self.late_strays_at = self.late_strays_at.filter(|at| *at > now);
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
            // If it stood idle for others, nobody does now.
            self.shared.standings.check_covers();
        }
        watched.lock_free_since = if peer.lock_is_free { watched.lock_free_since.or(Some(now)) } else { None };
        watched.lock_free_since.is_some_and(|since| now - since >= FREE_FOR)
            || now - watched.since >= given_up_after(lease)
    }

    async fn rescue(&self, peer: &Peer) -> Result<(), Error> {
        let kept = self.shared.settings.retention.discarded_seconds();
        let rescued =
            within(RESCUE_TIMEOUT, store::rescue_worker(&self.shared.database, peer.id, peer.heartbeat_at, kept))
                .await?;
        tracing::warn!(worker_id = %peer.id, jobs = rescued.len(), "worker given up");
        self.report(&rescued);
        Ok(())
    }

    fn report(&self, rescued: &[Rescued]) {
        for job in rescued {
            self.shared.metrics.rescued.increment();
            let worker_id = job.worker.map(|id| id.to_string());
            tracing::warn!(worker_id, job_id = job.id, kind = job.kind, attempt = job.attempt, "job rescued");
            if job.discarded {
                let metrics = &self.shared.metrics;
                report_discarded(metrics, job.id, &job.kind, job.attempt, job.max_attempts, &job.error);
            }
        }
        if !rescued.is_empty() {
            self.shared.wake.all();
        }
    }
}
