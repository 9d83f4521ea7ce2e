//! Looking behind the places from which claims look, beside them on a connection of its own.
//!
//! Promise: a job that was committed behind them is found within about a second, or, where that
//! look is a long one, so often that looking takes no more than a twentieth of the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::Error;
use crate::database::within;
use crate::store::claim;
use crate::store::session::Session;

/// How often to look.
const EVERY: Duration = Duration::from_secs(1);
/// The pause after a look, in times of what it took.
const PAUSE: u32 = 20;
/// How soon after the last look to look again, where a notification told of a job that was not found.
const SOONEST: Duration = Duration::from_millis(20);
/// How long a claim from the start may take to be preferred to a claim from the bound and a look
/// behind it.
const CHEAP: Duration = Duration::from_millis(2);
const TIMEOUT: Duration = Duration::from_secs(6);

/// What it costs to look from the start, and whether that is called for.
pub(super) struct Rescan {
    began: Instant,
    cost_us: AtomicU64,
    whole_at_us: AtomicU64,
    /// Claims have looked from their bounds since the last look behind.
    is_due: AtomicBool,
    hurry: Notify,
}

impl Default for Rescan {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            cost_us: AtomicU64::new(0),
            whole_at_us: AtomicU64::new(0),
            is_due: AtomicBool::new(false),
            hurry: Notify::new(),
        }
    }
}

impl Rescan {
    /// Whether a claim may as well look from the start.
    pub fn is_cheap(&self) -> bool {
        let cost = self.cost();
        let since =
            self.began.elapsed().saturating_sub(Duration::from_micros(self.whole_at_us.load(Ordering::Relaxed)));
        cost < CHEAP && since >= PAUSE * cost
    }

    /// A claim looked from its bound.
    pub fn bounded(&self) {
        self.is_due.store(true, Ordering::Relaxed);
    }

    /// A look from the start, or behind the bounds, took so long.
    pub fn took(&self, time: Duration) {
        self.cost_us.store(micros(time), Ordering::Relaxed);
        self.whole_at_us.store(micros(self.began.elapsed()), Ordering::Relaxed);
    }

    /// A notification told of a job, and a claim from the bound did not find it.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    fn cost(&self) -> Duration {
        Duration::from_micros(self.cost_us.load(Ordering::Relaxed))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Looks until stopped.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let rescan = &shared.rescan;
    let mut session = None;
    loop {
        let pause = PAUSE * rescan.cost();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause.max(SOONEST)) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = rescan.hurry.notified() => {}
            () = tokio::time::sleep(EVERY.saturating_sub(pause)) => {}
        }
        if !rescan.is_due.swap(false, Ordering::Relaxed) {
            continue;
        }
        let began = Instant::now();
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = within(TIMEOUT, look(&shared, &mut session)) => looked,
        };
        rescan.took(began.elapsed());
        if let Err(error) = looked {
            session = None;
            rescan.bounded();
            tracing::warn!(%error, "could not look for jobs behind those claimed; trying again");
        }
    }
}

async fn look(shared: &Shared, kept: &mut Option<Session>) -> Result<(), Error> {
    let session = match kept.take() {
        Some(session) if !session.is_closed() => session,
        _ => claim::open_session(&shared.database, shared.is_direct()).await?,
    };
    let queues: Vec<&str> = shared.settings.queues.iter().map(|queue| &*queue.name).collect();
    for (queue, priority, place) in claim::find_behind(&session, &shared.kinds, &queues, &shared.bounds.all()).await? {
        shared.bounds.found(queue, priority, place);
        shared.wake.queue(queue);
    }
    *kept = Some(session);
    Ok(())
}
