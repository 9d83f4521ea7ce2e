//! The limit of connections.
//!
//! Promises: at most 1,024 connections. When there are as many, the one that has been idle for longest is closed for
//! a new one. If none is idle, 16 more are accepted for probes only, so that an orchestrator does not restart a
//! service that is merely busy.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The most connections.
const MAX_CONNECTIONS: usize = 1024;
/// The most additional ones, for probes.
const MAX_PROBES: usize = 16;
/// How long a new connection counts as busy before its first request, which may be in flight.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection that was asked to close may take.
const CLOSES_WITHIN: Duration = Duration::from_millis(200);

pub(super) struct Slots {
    connections: Arc<Semaphore>,
    probes: Arc<Semaphore>,
    idle: Arc<IdleConnections>,
}

/// A slot for one connection, until it is dropped.
pub(super) struct Slot {
    /// It may only ask for probes.
    pub only_probes: bool,
    pub idle: IdleConnection,
    _permit: OwnedSemaphorePermit,
}

impl Default for Slots {
    fn default() -> Self {
        Self::of(MAX_CONNECTIONS, MAX_PROBES)
    }
}

impl Slots {
    /// This many connections, and this many more for probes.
    pub fn of(connections: usize, probes: usize) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(connections)),
            probes: Arc::new(Semaphore::new(probes)),
            idle: Arc::default(),
        }
    }

    /// A slot for an accepted connection.
    pub async fn take(&self) -> Option<Slot> {
        if let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() {
            return Some(self.slot(permit, false));
        }
        if self.idle.close_longest() {
            let freed = Arc::clone(&self.connections).acquire_owned();
            if let Ok(Ok(permit)) = tokio::time::timeout(CLOSES_WITHIN, freed).await {
                return Some(self.slot(permit, false));
            }
        }
        // Neither semaphore is ever closed.
        tokio::select! {
            permit = Arc::clone(&self.connections).acquire_owned() => Some(self.slot(permit.ok()?, false)),
            permit = Arc::clone(&self.probes).acquire_owned() => Some(self.slot(permit.ok()?, true)),
        }
    }

    fn slot(&self, permit: OwnedSemaphorePermit, only_probes: bool) -> Slot {
        Slot { only_probes, idle: IdleConnection::new(Arc::clone(&self.idle)), _permit: permit }
    }
}

/// The idle connections: those without a request in progress.
#[derive(Default)]
struct IdleConnections {
    /// A new one counts as idle from a time in the future.
    since: Mutex<HashMap<u64, (Instant, CancellationToken)>>,
    numbers: AtomicU64,
}

impl IdleConnections {
    /// Asks the connection that has been idle for longest to close. Returns whether there was one.
    fn close_longest(&self) -> bool {
        let mut since = self.since.lock();
        let now = Instant::now();
        let idle = since.iter().filter(|(_, (since, _))| *since <= now);
        let longest = idle.min_by_key(|(_, (since, _))| *since).map(|(number, _)| *number);
        let Some((_, close)) = longest.and_then(|number| since.remove(&number)) else { return false };
        close.cancel();
        true
    }
}

/// Tracks whether a connection is idle, and whether it is asked to close.
#[derive(Clone)]
pub(super) struct IdleConnection {
    all: Arc<IdleConnections>,
    number: u64,
    close: CancellationToken,
}

impl IdleConnection {
    fn new(all: Arc<IdleConnections>) -> Self {
        let number = all.numbers.fetch_add(1, Ordering::Relaxed);
        let connection = Self { all, number, close: CancellationToken::new() };
        connection.idle_from(Instant::now() + FIRST_REQUEST_WITHIN);
        connection
    }

    /// A request has begun, or its answer is sent.
    pub fn set_idle(&self, is_idle: bool) {
        if is_idle {
            self.idle_from(Instant::now());
        } else {
            self.all.since.lock().remove(&self.number);
        }
    }

    fn idle_from(&self, since: Instant) {
        self.all.since.lock().insert(self.number, (since, self.close.clone()));
    }

    /// Resolves when this connection must close to make room for a new one.
    pub async fn to_close(&self) {
        self.close.cancelled().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.idle.set_idle(false);
    }
}
