//! The life of a worker: one row with a heartbeat.
//!
//! A worker id is new for each process start, and new again for a worker that finds it was given
//! up (it was frozen, or cut off, for longer than its lease). The heartbeat carries a ping to the
//! worker's own listener, so that one round trip proves both.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::held::StopReason;
use super::shared::Shared;
use crate::database::{Reconnect, within};
use crate::store::session::Session;
use crate::store::worker::{self as store, Registration};
use crate::{Database, Error};

/// By how much others are ahead of the end of a lease, so that they have noticed by then.
const MARGIN: Duration = Duration::from_secs(1);
/// The longest a heartbeat may take.
const BEAT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long after its last heartbeat a worker is given up.
pub(super) fn given_up_after(lease: Duration) -> Duration {
    lease.saturating_sub(MARGIN.min(lease / 4))
}

/// Who this worker is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub worker_id: Uuid,
    /// The key of the session lock that tells the others that it lives.
    pub lock_key: i64,
}

impl Identity {
    fn fresh() -> Self {
        let worker_id = Uuid::now_v7();
        // The random part: two workers started in the same millisecond differ in it.
        let (_, random) = worker_id.as_u64_pair();
        Self { worker_id, lock_key: random.cast_signed() }
    }
}

pub(super) struct Lease {
    identity: watch::Sender<Identity>,
    duration: Duration,
    renewed_at: Mutex<Instant>,
    holds_lock: AtomicBool,
    beat_wanted: Notify,
    pings: AtomicU64,
    /// The latest ping that the database has accepted.
    sent: watch::Sender<u64>,
}

impl Lease {
    pub fn new(duration: Duration) -> Self {
        Self {
            identity: watch::Sender::new(Identity::fresh()),
            duration,
            renewed_at: Mutex::new(Instant::now()),
            holds_lock: AtomicBool::new(false),
            beat_wanted: Notify::new(),
            pings: AtomicU64::new(0),
            sent: watch::Sender::new(0),
        }
    }

    pub fn worker_id(&self) -> Uuid {
        self.identity.borrow().worker_id
    }

    /// Who the worker is, and when that changes.
    pub fn identity(&self) -> watch::Receiver<Identity> {
        self.identity.subscribe()
    }

    /// The pings that were sent with heartbeats.
    pub fn pings_sent(&self) -> watch::Receiver<u64> {
        self.sent.subscribe()
    }

    /// Whether it was renewed recently enough that nobody has given this worker up.
    pub fn is_fresh(&self) -> bool {
        self.renewed_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < given_up_after(self.duration)
    }

    /// Whether the session lock is held; told to the others with a heartbeat at once.
    pub fn set_holds_lock(&self, holds: bool) {
        self.holds_lock.store(holds, Ordering::Release);
        self.beat_now();
    }

    /// The ping of the latest heartbeat, which may still be on its way.
    pub fn latest_ping(&self) -> u64 {
        self.pings.load(Ordering::Acquire)
    }

    /// Whether the session lock is held, which proves that LISTEN goes directly to Postgres.
    pub fn holds_lock(&self) -> bool {
        self.holds_lock.load(Ordering::Acquire)
    }

    /// Asks for a heartbeat out of turn.
    pub fn beat_now(&self) {
        self.beat_wanted.notify_one();
    }

    /// By a statement that was sent then: of its answer nobody knows how long it was on its way.
    fn renewed(&self, sent_at: Instant) {
        *self.renewed_at.lock().unwrap_or_else(PoisonError::into_inner) = sent_at;
    }
}

/// Writes the lease of a worker that starts, or starts anew.
pub(super) async fn register(shared: &Shared) -> Result<(), Error> {
    let identity = *shared.lease.identity.borrow();
    let queues: Vec<&str> = shared.settings.queues.iter().map(|queue| &*queue.name).collect();
    let registration = Registration {
        id: identity.worker_id,
        lock_key: identity.lock_key,
        lease_ms: shared.settings.lease_ms(),
        pid: i32::try_from(std::process::id()).unwrap_or(0),
        host: &host_name(),
        version: env!("CARGO_PKG_VERSION"),
        queues: &queues,
    };
    let sent_at = Instant::now();
    within(BEAT_TIMEOUT, store::register(&shared.database, &registration)).await?;
    shared.lease.renewed(sent_at);
    Ok(())
}

/// Renews the lease until `stop`.
pub(super) async fn keep(shared: Arc<Shared>, stop: CancellationToken) {
    let lease = &shared.lease;
    let mut session = None;
    let mut reconnect = Reconnect::default();
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = lease.beat_wanted.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        wait = match beat(&shared, &mut session).await {
            Ok(true) => {
                reconnect.reset();
                shared.settings.heartbeat_interval()
            }
            Ok(false) => match start_anew(&shared).await {
                Ok(()) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(%error, "worker was given up by the others and could not register anew; trying again");
                    reconnect.next_delay()
                }
            },
            Err(error) => {
                tracing::warn!(%error, "heartbeat failed; trying again");
                reconnect.next_delay()
            }
        };
    }
}

/// One heartbeat, on a session that is kept for the next unless it failed.
async fn beat(shared: &Shared, session: &mut Option<Session>) -> Result<bool, Error> {
    let lease = &shared.lease;
    let ping = lease.pings.fetch_add(1, Ordering::AcqRel) + 1;
    let holds_lock = lease.holds_lock();
    let sent_at = Instant::now();
    let kept = session.take();
    let (open, stands) = within(BEAT_TIMEOUT, async {
        let open = match kept {
            Some(open) if !open.is_closed() => open,
            _ => store::open_session(&shared.database).await?,
        };
        let stands = store::heartbeat(&open, lease.worker_id(), holds_lock, ping).await?;
        Ok((open, stands))
    })
    .await?;
    *session = Some(open);
    if stands {
        lease.renewed(sent_at);
        lease.sent.send_replace(ping);
    }
    Ok(stands)
}

/// The worker was given up: its jobs belong to others now. It stops running them and goes on under
/// a new id.
async fn start_anew(shared: &Shared) -> Result<(), Error> {
    shared.lease.holds_lock.store(false, Ordering::Release);
    // First the new identity, then the jobs of all former ones: a claim that is answered in between
    // finds that it was made under another.
    let before = shared.lease.identity.send_replace(Identity::fresh()).worker_id;
    let worker_id = shared.lease.worker_id();
    for held in shared.held.all() {
        if held.fence().worker != worker_id {
            held.stop(StopReason::Lost);
        }
    }
    register(shared).await?;
    tracing::warn!(%worker_id, former_worker_id = %before, "worker was given up by the others; registered anew");
    shared.wake.all();
    Ok(())
}

/// Ends the lease of a worker that has returned all its jobs.
pub(super) async fn end(database: &Database, worker: Uuid) -> Result<(), Error> {
    within(BEAT_TIMEOUT, store::deregister(database, worker)).await
}

fn host_name() -> String {
    std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}
