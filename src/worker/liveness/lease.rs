//! The lease of a worker: one row, renewed by a heartbeat.
//!
//! Each process start creates a new worker id. A worker that was declared dead (frozen or disconnected for longer than
//! its lease) also takes a new id. The heartbeat sends a ping to the worker's own listener, so that one round trip
//! proves both.
//!
//! Promises: the worker counts its lease from when it sent the heartbeat, so it detects the expiry before its peers.
//! The attempts of a former id are asked to stop as soon as it has a new one. Only peers declare a worker dead.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::Error;
use crate::observe::Event;
use crate::postgres::Database;
use crate::postgres::{Reconnect, within};
use crate::store::session::{Session, SessionSlot};
use crate::store::worker::{self as store, Registration};
use crate::worker::config::QueueConfig;
use crate::worker::handles::WorkerHandles;
use crate::worker::in_flight::StopReason;

/// How long before the end of the lease peers declare a worker dead.
const MARGIN: Duration = Duration::from_secs(1);
/// The time limit of a heartbeat, and of a probe of peers.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long after its last heartbeat a worker is declared dead.
pub(in crate::worker) fn dead_after(lease: Duration) -> Duration {
    lease.saturating_sub(MARGIN.min(lease / 4))
}

/// The current identity of this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) struct Identity {
    pub worker_id: Uuid,
    /// The key of its liveness lock.
    pub lock_key: i64,
}

impl Identity {
    fn fresh() -> Self {
        let worker_id = Uuid::now_v7();
        // The random part, which differs between workers started in the same millisecond.
        let (_, random) = worker_id.as_u64_pair();
        Self { worker_id, lock_key: random.cast_signed() }
    }
}

pub(in crate::worker) struct Lease {
    identity: watch::Sender<Identity>,
    duration: Duration,
    /// When the worker first registered, by the database's clock.
    started_at: OnceLock<DateTime<Utc>>,
    renewed_at: Mutex<Instant>,
    holds_lock: AtomicBool,
    heartbeat_requested: Notify,
    pings: AtomicU64,
    /// The latest ping that the database has accepted.
    sent: watch::Sender<u64>,
    /// The server sends no notifications because its notification queue is nearly full.
    notifications_suspended: AtomicBool,
    /// The connection of heartbeats and of the probes of peers.
    session: AsyncMutex<SessionSlot>,
}

impl Lease {
    pub fn new(duration: Duration) -> Self {
        Self {
            identity: watch::Sender::new(Identity::fresh()),
            duration,
            started_at: OnceLock::new(),
            renewed_at: Mutex::new(Instant::now()),
            holds_lock: AtomicBool::new(false),
            heartbeat_requested: Notify::new(),
            pings: AtomicU64::new(0),
            sent: watch::Sender::new(0),
            notifications_suspended: AtomicBool::new(false),
            session: AsyncMutex::default(),
        }
    }

    pub fn worker_id(&self) -> Uuid {
        self.identity.borrow().worker_id
    }

    /// The identity, and its changes.
    pub fn identity(&self) -> watch::Receiver<Identity> {
        self.identity.subscribe()
    }

    /// The pings that heartbeats have sent.
    pub fn pings_sent(&self) -> watch::Receiver<u64> {
        self.sent.subscribe()
    }

    /// Whether the last renewal is recent enough that no peer has declared this worker dead.
    pub fn is_fresh(&self) -> bool {
        self.renewed_at.lock().elapsed() < dead_after(self.duration)
    }

    /// Records whether the liveness lock is held, and reports it with a heartbeat now.
    pub fn set_holds_lock(&self, holds: bool) {
        self.holds_lock.store(holds, Ordering::Release);
        self.heartbeat_now();
    }

    /// The ping of the latest heartbeat, which may still be in flight.
    pub fn latest_ping(&self) -> u64 {
        self.pings.load(Ordering::Acquire)
    }

    /// Whether the server sends no notifications because its notification queue is nearly full. An enqueue then wakes
    /// no worker.
    pub fn notifications_suspended(&self) -> bool {
        self.notifications_suspended.load(Ordering::Acquire)
    }

    /// Records an accepted heartbeat. `is_pinged`: it sent a notification.
    fn on_heartbeat(&self, ping: u64, is_pinged: bool) {
        if is_pinged {
            self.sent.send_replace(ping);
        }
        let was_mute = self.notifications_suspended.swap(!is_pinged, Ordering::AcqRel);
        if was_mute && is_pinged {
            tracing::info!("the server sends notifications again");
        } else if !was_mute && !is_pinged {
            tracing::warn!(
                "the server's notification queue is nearly full, so none are sent; polling: look in pg_stat_activity, in all databases, for a listener in a long transaction"
            );
        }
    }

    /// Whether the liveness lock is held, which proves that the listener is connected to Postgres directly.
    pub fn holds_lock(&self) -> bool {
        self.holds_lock.load(Ordering::Acquire)
    }

    /// Sends a heartbeat now.
    pub fn heartbeat_now(&self) {
        self.heartbeat_requested.notify_one();
    }

    /// Counts from when the statement was sent: the latency of its answer is unknown.
    fn renewed(&self, sent_at: Instant) {
        *self.renewed_at.lock() = sent_at;
    }
}

/// Registers the worker.
pub(in crate::worker) async fn register(handles: &WorkerHandles) -> Result<(), Error> {
    let identity = *handles.lease.identity.borrow();
    let queues: Vec<&str> = handles.config.queues.iter().map(|queue| &*queue.name).collect();
    let concurrency = |queue: &QueueConfig| i32::try_from(queue.concurrency).unwrap_or(i32::MAX);
    let concurrency: Vec<i32> = handles.config.queues.iter().map(concurrency).collect();
    let registration = Registration {
        id: identity.worker_id,
        lock_key: identity.lock_key,
        lease_ms: handles.config.lease_ms(),
        pid: i32::try_from(std::process::id()).unwrap_or(0),
        host: &host_name(),
        version: env!("CARGO_PKG_VERSION"),
        queues: &queues,
        concurrency: &concurrency,
        declares: &handles.declares,
        cancelled_seconds: handles.config.retention.cancelled_seconds(),
        started_at: handles.lease.started_at.get().copied(),
    };
    let sent_at = Instant::now();
    let started_at = within(HEARTBEAT_TIMEOUT, store::register(&handles.database, &registration)).await?;
    handles.lease.started_at.get_or_init(|| started_at);
    handles.lease.renewed(sent_at);
    Ok(())
}

/// Renews the lease until `stop`.
pub(in crate::worker) async fn renew_until(handles: Arc<WorkerHandles>, stop: CancellationToken) {
    let lease = &handles.lease;
    let mut reconnect = Reconnect::default();
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = lease.heartbeat_requested.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        wait = match send_heartbeat(&handles).await {
            Ok(true) => {
                reconnect.reset();
                handles.config.heartbeat_interval()
            }
            Ok(false) => match register_again(&handles).await {
                Ok(()) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(%error, "peers declared this worker dead, and it could not register again; trying again");
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

/// Runs a statement on the connection of heartbeats and probes, within their time limit.
pub(in crate::worker) async fn on_session<T>(
    handles: &WorkerHandles,
    statement: impl AsyncFnOnce(&Session) -> Result<T, Error>,
) -> Result<T, Error> {
    let work = async {
        let direct = handles.is_direct();
        let mut session = handles.lease.session.lock().await;
        session.close_unless(direct);
        session.with(async || store::open_session(&handles.database, direct).await, statement).await
    };
    within(HEARTBEAT_TIMEOUT, work).await
}

/// Sends one heartbeat. Returns false if peers have declared this worker dead.
async fn send_heartbeat(handles: &WorkerHandles) -> Result<bool, Error> {
    let lease = &handles.lease;
    let ping = lease.pings.fetch_add(1, Ordering::AcqRel) + 1;
    let holds_lock = lease.holds_lock();
    let sent_at = Instant::now();
    let worker = lease.worker_id();
    let answer = on_session(handles, async |session| store::heartbeat(session, worker, holds_lock, ping).await).await?;
    let Some(answer) = answer else { return Ok(false) };
    lease.renewed(sent_at);
    lease.on_heartbeat(ping, answer.is_pinged);
    if handles.servers.is_new(answer.server_started_at) {
        // Some servers do not report a timeline.
        let timeline = on_session(handles, async |session| store::timeline(session).await).await.ok();
        if handles.servers.note(answer.server_started_at, timeline) {
            handles.metrics.failovers.increment();
            handles.events.send(|| Event::ServerChanged { server_started_at: answer.server_started_at });
            handles.wake.all();
        }
    }
    Ok(true)
}

/// Stops the jobs of a worker that was declared dead: they belong to peers. Then registers under a new id.
async fn register_again(handles: &WorkerHandles) -> Result<(), Error> {
    handles.lease.holds_lock.store(false, Ordering::Release);
    // Set the new identity before stopping the jobs of all former ones: a claim answered in between then detects that
    // it was made under a former id.
    let before = handles.lease.identity.send_replace(Identity::fresh()).worker_id;
    let worker_id = handles.lease.worker_id();
    for job in handles.in_flight.all() {
        if job.fence().worker != worker_id {
            job.stop(StopReason::Lost);
        }
    }
    register(handles).await?;
    tracing::warn!(%worker_id, former_worker_id = %before, "peers declared this worker dead; registered again");
    handles.events.send(|| Event::DeclaredDead { worker_id, former_worker_id: before });
    handles.wake.all();
    Ok(())
}

/// Deletes the lease of a worker whose jobs are all recorded or released.
pub(in crate::worker) async fn end(database: &Database, worker: Uuid) -> Result<(), Error> {
    within(HEARTBEAT_TIMEOUT, store::deregister(database, worker)).await
}

fn host_name() -> String {
    std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}
