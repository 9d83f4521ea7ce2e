//! The catch-up scan: finds skipped jobs. Uses a dedicated connection.
//!
//! Promise: a job that was committed behind a cursor is found within about a second. A slow scan runs less often: all
//! workers together scan for at most a twentieth of the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::error::Error;
use crate::postgres::within;
use crate::store::claim;
use crate::store::session::{Session, SessionSlot};
use crate::worker::handles::WorkerHandles;

/// How often to scan.
const EVERY: Duration = Duration::from_secs(1);
/// The pause after a scan, as a multiple of its duration and of the number of workers.
const PAUSE_FACTOR: u32 = 20;
/// The shortest pause, after a notification of a job that a claim did not find.
const MIN_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause that the scans of other workers cause.
const MAX_SHARED_PAUSE: Duration = Duration::from_mins(1);
/// A scan from the start that takes less than this is preferred to a scan from the cursor.
const CHEAP_SCAN: Duration = Duration::from_millis(2);
const TIMEOUT: Duration = Duration::from_secs(6);

/// The cost of a scan from the start, and whether a catch-up scan is due.
pub(in crate::worker) struct CatchUp {
    began: Instant,
    cost_us: AtomicU64,
    scanned_at_us: AtomicU64,
    /// Claims have used a cursor since the last catch-up scan.
    is_due: AtomicBool,
    scan_soon: Notify,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            cost_us: AtomicU64::new(0),
            scanned_at_us: AtomicU64::new(0),
            is_due: AtomicBool::new(false),
            scan_soon: Notify::new(),
        }
    }
}

impl CatchUp {
    /// Whether a claim may scan from the start.
    pub fn may_scan_from_start(&self) -> bool {
        let cost = self.cost();
        let since =
            self.began.elapsed().saturating_sub(Duration::from_micros(self.scanned_at_us.load(Ordering::Relaxed)));
        cost < CHEAP_SCAN && since >= PAUSE_FACTOR * cost
    }

    /// Records that a claim scanned from its cursor.
    pub fn cursor_was_used(&self) {
        self.is_due.store(true, Ordering::Relaxed);
    }

    /// Records the duration of a scan from the start or behind the cursors.
    pub fn scan_took(&self, time: Duration) {
        self.cost_us.store(micros(time), Ordering::Relaxed);
        self.scanned_at_us.store(micros(self.began.elapsed()), Ordering::Relaxed);
    }

    /// Scans soon: a claim from the cursor did not find a notified job.
    pub fn scan_soon(&self) {
        self.scan_soon.notify_one();
    }

    /// The pause before the next scan, if so many other workers scan, too.
    fn pause(&self, peers: u32) -> Duration {
        let alone = self.cost() * PAUSE_FACTOR;
        let shared = alone.saturating_mul(peers.saturating_add(1));
        shared.min(alone.max(MAX_SHARED_PAUSE))
    }

    fn cost(&self) -> Duration {
        Duration::from_micros(self.cost_us.load(Ordering::Relaxed))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Scans until it is dropped.
pub(in crate::worker) async fn run(handles: Arc<WorkerHandles>) {
    let catch_up = &handles.catch_up;
    let mut session = SessionSlot::default();
    loop {
        let pause = catch_up.pause(handles.live_peers());
        tokio::time::sleep(pause.max(MIN_PAUSE)).await;
        tokio::select! {
            () = catch_up.scan_soon.notified() => {}
            () = tokio::time::sleep(EVERY.saturating_sub(pause)) => {}
        }
        if !catch_up.is_due.swap(false, Ordering::Relaxed) {
            continue;
        }
        let began = Instant::now();
        let open = async || claim::open_session(&handles.database, handles.is_direct()).await;
        let found = within(TIMEOUT, session.with(open, async |session| find_skipped(&handles, session).await)).await;
        catch_up.scan_took(began.elapsed());
        if let Err(error) = found {
            catch_up.cursor_was_used();
            tracing::warn!(%error, "the catch-up scan failed; trying again");
        }
    }
}

async fn find_skipped(handles: &WorkerHandles, session: &Session) -> Result<(), Error> {
    let queues: Vec<&str> = handles.config.queues.iter().map(|queue| &*queue.name).collect();
    for (queue, priority, position) in
        claim::find_skipped(session, &handles.kinds, &queues, &handles.cursors.all()).await?
    {
        handles.cursors.found(queue, priority, position);
        handles.wake.queue(queue);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_twentieth_of_the_time() {
        let catch_up = CatchUp::default();
        let pause = |cost_ms, peers| {
            catch_up.scan_took(Duration::from_millis(cost_ms));
            catch_up.pause(peers)
        };
        assert_eq!(pause(10, 0), Duration::from_millis(200));
        assert_eq!(pause(10, 15), Duration::from_millis(3_200));
        assert_eq!(pause(100, 63), Duration::from_mins(1));
        assert_eq!(pause(6_000, 63), Duration::from_mins(2));
    }
}
