//! What all parts of one running worker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::bounds::Bounds;
use super::held::HeldJobs;
use super::lease::Lease;
use super::metrics::Metrics;
use super::rescan::Rescan;
use super::settings::Settings;
use super::standing::Standings;
use super::wake::Wake;
use crate::Database;

pub(super) struct Shared {
    pub database: Database,
    pub settings: Settings,
    pub kinds: Vec<&'static str>,
    pub lease: Lease,
    pub held: HeldJobs,
    pub bounds: Bounds,
    pub rescan: Rescan,
    pub standings: Standings,
    pub wake: Wake,
    pub metrics: Arc<Metrics>,
    direct: AtomicBool,
}

impl Shared {
    pub fn new(
        database: Database,
        settings: Settings,
        kinds: Vec<&'static str>,
        lease: Lease,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            bounds: Bounds::new(settings.queues.len()),
            rescan: Rescan::default(),
            standings: Standings::new(settings.queues.len()),
            database,
            settings,
            kinds,
            lease,
            held: HeldJobs::default(),
            wake: Wake::default(),
            metrics,
            direct: AtomicBool::new(false),
        }
    }

    /// Whether LISTEN is known to go to Postgres itself, not through a transaction pooler.
    pub fn set_direct(&self, listens_directly: bool) {
        self.direct.store(listens_directly && self.database.listens_where_it_writes(), Ordering::Release);
    }

    /// Until it is proved direct, a connection is treated as pooled.
    pub fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Acquire)
    }

    /// The number of a served queue.
    pub fn queue_number(&self, name: &str) -> Option<usize> {
        self.settings.queues.iter().position(|queue| &*queue.name == name)
    }
}
