//! What the tasks of one running worker share.
//!
//! Promise: a connection counts as pooled until the listener is proved to be direct. State only: no decisions and no
//! SQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::observe::Events;
use crate::postgres::Database;
use crate::worker::claim::catch_up::CatchUp;
use crate::worker::claim::cursor::ClaimCursors;
use crate::worker::claim::idle_lock::IdleLocks;
use crate::worker::claim::wake::Wake;
use crate::worker::config::Config;
use crate::worker::in_flight::InFlightJobs;
use crate::worker::liveness::failover::Servers;
use crate::worker::liveness::lease::Lease;
use crate::worker::metrics::Metrics;

pub(super) struct WorkerHandles {
    pub database: Database,
    pub config: Config,
    pub kinds: Vec<&'static str>,
    /// Periodic kinds, each followed by a space and its schedule.
    pub declares: Vec<String>,
    pub lease: Lease,
    pub in_flight: InFlightJobs,
    pub servers: Servers,
    pub cursors: ClaimCursors,
    pub catch_up: CatchUp,
    pub idle_locks: IdleLocks,
    pub wake: Wake,
    pub metrics: Arc<Metrics>,
    pub events: Events,
    direct: AtomicBool,
    live_peers: AtomicU32,
}

impl WorkerHandles {
    pub fn new(
        database: Database,
        config: Config,
        kinds: Vec<&'static str>,
        declares: Vec<String>,
        lease: Lease,
        metrics: Arc<Metrics>,
        events: Events,
    ) -> Self {
        Self {
            cursors: ClaimCursors::new(config.queues.len()),
            catch_up: CatchUp::default(),
            idle_locks: IdleLocks::new(config.queues.len()),
            database,
            config,
            kinds,
            declares,
            lease,
            in_flight: InFlightJobs::default(),
            servers: Servers::default(),
            wake: Wake::default(),
            metrics,
            events,
            direct: AtomicBool::new(false),
            live_peers: AtomicU32::new(0),
        }
    }

    /// Whether connections are known to go to Postgres directly, not through a transaction pooler.
    pub fn set_direct(&self, listens_directly: bool) {
        self.direct.store(listens_directly && self.database.has_one_address(), Ordering::Release);
    }

    /// Until that is proved, a connection is treated as pooled.
    pub fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Acquire)
    }

    pub fn set_live_peers(&self, peers: usize) {
        self.live_peers.store(u32::try_from(peers).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// How many other workers are registered and not dead, as of the last probe. 0 before the first one.
    pub fn live_peers(&self) -> u32 {
        self.live_peers.load(Ordering::Relaxed)
    }

    /// The number of a served queue.
    pub fn queue_number(&self, name: &str) -> Option<usize> {
        self.config.queues.iter().position(|queue| &*queue.name == name)
    }
}
