//! Receives notifications. Uses a dedicated connection, which also holds the liveness lock and the idle locks.
//!
//! Promises:
//! - A connection is used only after it has received a heartbeat's ping, which is sent over another connection.
//!   Through a transaction pooler, the ping does not arrive.
//! - A silent connection is detected within 10 s: each ping must arrive within 5 s.
//! - After each (re)connect the fetcher polls all queues, so that no job is missed in between.
//! - A notification only wakes. It carries no data.
//! - No statement on this connection waits for a lock. A backend that waits for a lock does not notice that its worker
//!   has died. It would keep the liveness lock.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::observe::Event;
use crate::postgres::{Reconnect, Stream, within};
use crate::store::idle_lock::{release_idle_lock, try_idle_lock};
use crate::store::notification::Notification;
use crate::store::worker as store;
use crate::worker::execute::cancel::CancelRequests;
use crate::worker::handles::WorkerHandles;
use crate::worker::liveness::lease::Identity;

/// How long a ping may take to arrive.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first ping may take. It proves the connection.
const PROOF_WITHIN: Duration = Duration::from_secs(2);
/// How long to try to acquire the liveness lock: a peer's probe holds it briefly.
const LOCK_WITHIN: Duration = Duration::from_secs(2);
/// The retry delay for an address that accepts LISTEN but never delivers a notification.
const NO_NOTIFICATIONS_RETRY: Duration = Duration::from_mins(1);
/// How often that must happen first: on a slow database a ping may also be late.
const NO_NOTIFICATIONS_TRIES: u32 = 3;
/// The time limit of a try for the idle lock. The try does not wait for the lock.
const IDLE_LOCK_WITHIN: Duration = Duration::from_secs(5);
const LOCK_RETRY: Duration = Duration::from_millis(10);
const NO_NOTIFICATIONS: &str = "LISTEN receives nothing: does the URL go through a transaction pooler? \
                             Then set DATABASE_LISTEN_URL to a direct one";

const MUTE: &str = "the server's notification queue is nearly full, so that no notification arrives";

pub(in crate::worker) struct Listener {
    handles: Arc<WorkerHandles>,
    cancel_requests: Arc<CancelRequests>,
    stop: CancellationToken,
}

/// Why the connection was closed.
enum CloseReason {
    Stopped,
    /// The worker has a new id and thus a new liveness lock.
    NewIdentity,
    Lost(String),
    /// LISTEN succeeded, but no notification arrived.
    NoNotifications,
}

impl Listener {
    pub fn new(handles: Arc<WorkerHandles>, cancel_requests: Arc<CancelRequests>, stop: CancellationToken) -> Self {
        Self { handles, cancel_requests, stop }
    }

    /// Listens until stopped. `first` receives whether the first try succeeded.
    pub async fn run(self, first: oneshot::Sender<bool>) {
        let mut first = Some(first);
        let mut reconnect = Reconnect::default();
        let mut was_proven = false;
        let mut lost = false;
        let mut silent_tries = 0;
        loop {
            let closed = match self.use_connection(&mut first, &mut was_proven, &mut lost, &mut reconnect).await {
                Ok(reason) => reason,
                Err(error) => CloseReason::Lost(error.to_string()),
            };
            if matches!(closed, CloseReason::Stopped) {
                // Keeps `holds_lock`: if the lease is not deleted, the free lock shows peers that this worker is gone.
                return;
            }
            self.handles.lease.set_holds_lock(false);
            self.handles.idle_locks.set_listening(false);
            let reason = match closed {
                CloseReason::Stopped | CloseReason::NewIdentity => continue,
                CloseReason::Lost(reason) => reason,
                CloseReason::NoNotifications => {
                    self.handles.set_direct(false);
                    silent_tries += 1;
                    NO_NOTIFICATIONS.to_owned()
                }
            };
            if let Some(first) = first.take() {
                tracing::warn!(reason, "cannot listen for new jobs; polling");
                let _ = first.send(false);
            } else if was_proven && !lost {
                tracing::warn!(reason, "listener lost");
                self.handles.events.send(|| Event::ListenerLost);
            }
            lost = true;
            // A connection that never received a ping probably goes through a pooler: retry rarely.
            let retry_rarely = !was_proven && silent_tries >= NO_NOTIFICATIONS_TRIES;
            let wait = if retry_rarely { NO_NOTIFICATIONS_RETRY } else { reconnect.next_delay() };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// Uses one connection until it ends.
    async fn use_connection(
        &self,
        first: &mut Option<oneshot::Sender<bool>>,
        was_proven: &mut bool,
        lost: &mut bool,
        reconnect: &mut Reconnect,
    ) -> Result<CloseReason, Error> {
        let mut identity = self.handles.lease.identity();
        let me = *identity.borrow_and_update();
        let (client, connection) = self.handles.database.connect_direct("listen").await?;
        let received = Arc::new(AtomicU64::new(0));
        let (arrival, mut arrivals) = watch::channel(());
        let mut driver = pin!(self.drive(connection, me, Arc::clone(&received), arrival));

        let prepare = async {
            store::listen_ping(&client, me.worker_id).await?;
            if !self.receives_ping(&received, &mut arrivals).await {
                return if self.handles.lease.notifications_suspended() {
                    Err(Error::connect(MUTE))
                } else {
                    Ok(false)
                };
            }
            store::limit_listener(&client).await?;
            self.take_liveness_lock(&client, me).await?;
            if self.handles.config.listen {
                store::listen_wake(&self.handles.database.schema().on(&client)).await?;
            }
            Ok::<_, Error>(true)
        };
        tokio::select! {
            reason = &mut driver => return Ok(CloseReason::Lost(reason)),
            () = self.stop.cancelled() => return Ok(CloseReason::Stopped),
            prepared = prepare => if !prepared? { return Ok(CloseReason::NoNotifications) },
        }

        self.handles.set_direct(true);
        self.handles.lease.set_holds_lock(true);
        self.handles.idle_locks.set_listening(self.handles.config.listen);
        self.handles.cursors.reset_all();
        self.handles.wake.all();
        self.cancel_requests.check_cancels();
        reconnect.reset();
        *was_proven = true;
        if let Some(first) = first.take() {
            let _ = first.send(true);
        } else if std::mem::take(lost) {
            tracing::info!(worker_id = %me.worker_id, "listener restored");
        }
        self.handles.events.send(|| Event::ListenerRestored);

        tokio::select! {
            reason = &mut driver => Ok(CloseReason::Lost(reason)),
            () = self.stop.cancelled() => Ok(CloseReason::Stopped),
            changed = identity.changed() => Ok(if changed.is_ok() { CloseReason::NewIdentity } else { CloseReason::Stopped }),
            reason = self.watch_pings(&received, &mut arrivals) => Ok(CloseReason::Lost(reason)),
            error = self.serve_idle_locks(&client) => Err(error),
        }
    }

    /// Returns when a ping does not arrive in time.
    async fn watch_pings(&self, received: &AtomicU64, arrivals: &mut watch::Receiver<()>) -> String {
        let mut sent = self.handles.lease.pings_sent();
        let mut deadline: Option<Instant> = None;
        loop {
            // A ping that was sent but not received starts the timer. Its arrival stops the timer.
            let latest = *sent.borrow_and_update();
            if received.load(Ordering::Acquire) >= latest {
                deadline = None;
            } else if deadline.is_none() {
                deadline = Some(Instant::now() + PING_TIMEOUT);
            }
            tokio::select! {
                _ = sent.changed() => {}
                _ = arrivals.changed() => {}
                () = at(deadline) => return "its own heartbeat does not arrive".to_owned(),
            }
        }
    }

    /// Acquires and releases idle locks at the fetcher's request, until the connection fails.
    async fn serve_idle_locks(&self, client: &Client) -> Error {
        let idle_locks = &self.handles.idle_locks;
        let client = &self.handles.database.schema().on(client);
        let names = |queues: &[usize]| -> Vec<&str> {
            queues.iter().map(|queue| &*self.handles.config.queues[*queue].name).collect()
        };
        loop {
            idle_locks.requested().await;
            let leaving = idle_locks.pending_releases();
            if !leaving.is_empty() {
                if let Err(error) = within(IDLE_LOCK_WITHIN, release_idle_lock(client, &names(&leaving))).await {
                    return error;
                }
                for queue in leaving {
                    idle_locks.on_released(queue);
                }
            }
            let asked = idle_locks.pending_acquires();
            if !asked.is_empty() {
                match within(IDLE_LOCK_WITHIN, try_idle_lock(client, &names(&asked))).await {
                    Ok(answers) => {
                        asked
                            .iter()
                            .zip(answers)
                            .for_each(|(queue, (key, answer))| idle_locks.on_acquire_result(*queue, key, answer));
                    }
                    Err(error) => return error,
                }
                self.handles.wake.recheck();
            }
        }
    }

    /// Reads the connection until it ends. Returns the reason.
    async fn drive(
        &self,
        mut connection: Connection<Socket, Stream>,
        me: Identity,
        received: Arc<AtomicU64>,
        arrival: watch::Sender<()>,
    ) -> String {
        let channel = self.handles.database.schema().name();
        let ping_channel = store::ping_channel(me.worker_id);
        loop {
            match poll_fn(|cx| connection.poll_message(cx)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    if notification.channel() == channel {
                        self.on_notification(notification.payload());
                    } else if notification.channel() == ping_channel {
                        received.fetch_max(notification.payload().parse().unwrap_or(0), Ordering::AcqRel);
                        arrival.send_replace(());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return crate::error::describe(&error),
                None => return "the server closed the connection".to_owned(),
            }
        }
    }

    fn on_notification(&self, payload: &str) {
        match payload.parse() {
            Ok(Notification::Wake { queue }) => {
                if let Some(number) = self.handles.queue_number(&queue) {
                    self.handles.wake.queue(number);
                }
            }
            Ok(Notification::Back { queue }) => {
                if let Some(number) = self.handles.queue_number(&queue) {
                    self.handles.cursors.reset(number);
                    self.handles.wake.queue(number);
                }
            }
            Ok(Notification::IdleLockReleased { key }) => self.handles.idle_locks.on_peer_release(key),
            Ok(Notification::Due { queue, at_ms }) => {
                if self.handles.queue_number(&queue).is_some() {
                    self.handles.wake.due_at(at_ms);
                }
            }
            Ok(Notification::Cancel) => self.cancel_requests.check_cancels(),
            // From a newer version or another program. A poll finds what it announced.
            Err(_) => {}
        }
    }

    /// Waits for a ping, up to a time limit.
    async fn receives_ping(&self, received: &AtomicU64, arrivals: &mut watch::Receiver<()>) -> bool {
        // An earlier ping proves nothing: with the answer to LISTEN, a pooler may have forwarded notifications that its
        // server connection had received.
        let earlier = self.handles.lease.latest_ping();
        self.handles.lease.heartbeat_now();
        let proof = arrivals.wait_for(|()| received.load(Ordering::Acquire) > earlier);
        matches!(timeout(PROOF_WITHIN, proof).await, Ok(Ok(_)))
    }

    async fn take_liveness_lock(&self, client: &Client, me: Identity) -> Result<(), Error> {
        let taking = async {
            while !store::try_liveness_lock(client, me.lock_key).await? {
                // After a network partition the server still has the former session.
                if store::end_former_session(client, me.lock_key).await? {
                    tracing::info!("ended the former session of this worker, which was cut off");
                }
                sleep(LOCK_RETRY).await;
            }
            Ok(())
        };
        let held = || Error::connect("the worker's liveness lock is held by another session");
        timeout(LOCK_WITHIN, taking).await.unwrap_or_else(|_| Err(held()))
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
