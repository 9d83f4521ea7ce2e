//! Hearing of new jobs: LISTEN on a connection of its own, which also holds the life lock.
//!
//! Promises: a connection is used only after it has heard a heartbeat of its own worker, sent over
//! another connection, which through a transaction pooler it would not; a silent connection is
//! noticed within 10 s, since each heartbeat must be heard within 5 s; after each (re)connect the
//! fetcher looks at all queues, so that nothing falls between. It wakes and never carries data.
//!
//! It also holds the idle locks that the fetcher asks for (see `standing`).
//!
//! Nothing that may wait for a lock runs on this connection: a backend that is killed while it
//! waits keeps its locks, and its worker would seem alive.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::lease::Identity;
use super::shared::Shared;
use crate::Error;
use crate::database::{Reconnect, Stream, within};
use crate::store::idle_lock::{release_idle_lock, try_idle_lock};
use crate::store::notification::{CHANNEL, Notification};
use crate::store::session::Session;
use crate::store::worker as store;

/// How long a heartbeat may take to be heard.
const DEAF_AFTER: Duration = Duration::from_secs(5);
/// The same for the first one, which proves the connection.
const PROOF_WITHIN: Duration = Duration::from_secs(2);
/// How long to try for the life lock: others hold it for the moment of their look.
const LOCK_WITHIN: Duration = Duration::from_secs(2);
/// How long to leave an address alone on which LISTEN works but nothing is ever heard.
const UNHEARD_RETRY: Duration = Duration::from_mins(1);
/// How often that must have happened, since a slow database may be late for a proof, too.
const UNHEARD_TRIES: u32 = 3;
/// How long a try for the idle lock may take: it waits for nothing.
const IDLE_LOCK_WITHIN: Duration = Duration::from_secs(5);
const LOCK_RETRY: Duration = Duration::from_millis(10);
const HEARS_NOTHING: &str = "LISTEN hears nothing: does the URL go through a transaction pooler? \
                             Then set DATABASE_LISTEN_URL to a direct one";

pub(super) struct Listener {
    shared: Arc<Shared>,
    control: Arc<Control>,
    stop: CancellationToken,
}

/// Why a connection was left.
enum Left {
    Stopped,
    /// The worker goes on under another id, whose lock is another.
    NewIdentity,
    Lost(String),
    /// It could listen, and heard nothing.
    Unheard,
}

impl Listener {
    pub fn new(shared: Arc<Shared>, control: Arc<Control>, stop: CancellationToken) -> Self {
        Self { shared, control, stop }
    }

    /// Listens until stopped. `first` is told whether the first try succeeded.
    pub async fn run(self, first: oneshot::Sender<bool>) {
        let mut first = Some(first);
        let mut reconnect = Reconnect::default();
        let mut was_heard = false;
        let mut lost = false;
        let mut unheard = 0;
        loop {
            let left = match self.attend(&mut first, &mut was_heard, &mut lost, &mut reconnect).await {
                Ok(left) => left,
                Err(error) => Left::Lost(error.to_string()),
            };
            if matches!(left, Left::Stopped) {
                // Without saying that it holds no lock any more: should its lease not be ended, the
                // free lock tells the others at once.
                return;
            }
            self.shared.lease.set_holds_lock(false);
            self.shared.standings.listens(false);
            let reason = match left {
                Left::Stopped | Left::NewIdentity => continue,
                Left::Lost(reason) => reason,
                Left::Unheard => {
                    self.shared.set_direct(false);
                    unheard += 1;
                    HEARS_NOTHING.to_owned()
                }
            };
            if let Some(first) = first.take() {
                tracing::warn!(reason, "cannot listen for new jobs; polling");
                let _ = first.send(false);
            } else if was_heard && !lost {
                tracing::warn!(reason, "listener lost");
            }
            lost = true;
            // What was never heard will hardly be heard soon: it goes through a pooler.
            let hopeless = !was_heard && unheard >= UNHEARD_TRIES;
            let wait = if hopeless { UNHEARD_RETRY } else { reconnect.next_delay() };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// One connection, from its opening to its end.
    async fn attend(
        &self,
        first: &mut Option<oneshot::Sender<bool>>,
        was_heard: &mut bool,
        lost: &mut bool,
        reconnect: &mut Reconnect,
    ) -> Result<Left, Error> {
        let mut identity = self.shared.lease.identity();
        let me = *identity.borrow_and_update();
        let (client, connection) = self.shared.database.connect_listen("listen").await?;
        let heard = Arc::new(AtomicU64::new(0));
        let (pong, mut pongs) = watch::channel(());
        let mut driver = pin!(self.drive(connection, me, Arc::clone(&heard), pong));

        let prepare = async {
            store::listen_ping(&client, me.worker_id).await?;
            if !self.hears(&heard, &mut pongs).await {
                return Ok(false);
            }
            Session::keep_alive(&client).await?;
            self.take_life_lock(&client, me).await?;
            if self.shared.settings.listen {
                store::listen_wake(&client).await?;
            }
            Ok::<_, Error>(true)
        };
        tokio::select! {
            reason = &mut driver => return Ok(Left::Lost(reason)),
            () = self.stop.cancelled() => return Ok(Left::Stopped),
            prepared = prepare => if !prepared? { return Ok(Left::Unheard) },
        }

        self.shared.set_direct(true);
        self.shared.lease.set_holds_lock(true);
        self.shared.standings.listens(self.shared.settings.listen);
        self.shared.bounds.reset_all();
        self.shared.wake.all();
        self.control.check_cancels();
        reconnect.reset();
        *was_heard = true;
        if let Some(first) = first.take() {
            let _ = first.send(true);
        } else if std::mem::take(lost) {
            tracing::info!(worker_id = %me.worker_id, "listener restored");
        }

        tokio::select! {
            reason = &mut driver => Ok(Left::Lost(reason)),
            () = self.stop.cancelled() => Ok(Left::Stopped),
            changed = identity.changed() => Ok(if changed.is_ok() { Left::NewIdentity } else { Left::Stopped }),
            reason = self.hear_heartbeats(&heard, &mut pongs) => Ok(Left::Lost(reason)),
            error = self.stand_idle(&client) => Err(error),
        }
    }

    /// Returns when a heartbeat that was sent is not heard.
    async fn hear_heartbeats(&self, heard: &AtomicU64, pongs: &mut watch::Receiver<()>) -> String {
        let mut sent = self.shared.lease.pings_sent();
        let mut deaf_at: Option<Instant> = None;
        loop {
            // A heartbeat that was sent and not heard starts the clock; one heard stops it.
            let latest = *sent.borrow_and_update();
            if heard.load(Ordering::Acquire) >= latest {
                deaf_at = None;
            } else if deaf_at.is_none() {
                deaf_at = Some(Instant::now() + DEAF_AFTER);
            }
            tokio::select! {
                _ = sent.changed() => {}
                _ = pongs.changed() => {}
                () = at(deaf_at) => return "it does not hear its own heartbeat".to_owned(),
            }
        }
    }

    /// Takes and lets go of idle locks as the fetcher asks, until the connection fails.
    async fn stand_idle(&self, client: &Client) -> Error {
        let standings = &self.shared.standings;
        let names = |queues: &[usize]| -> Vec<&str> {
            queues.iter().map(|queue| &*self.shared.settings.queues[*queue].name).collect()
        };
        loop {
            standings.asked().await;
            let leaving = standings.to_leave();
            if !leaving.is_empty() {
                if let Err(error) = within(IDLE_LOCK_WITHIN, release_idle_lock(client, &names(&leaving))).await {
                    return error;
                }
                for queue in leaving {
                    standings.left(queue);
                }
            }
            let asked = standings.to_try();
            if !asked.is_empty() {
                match within(IDLE_LOCK_WITHIN, try_idle_lock(client, &names(&asked))).await {
                    Ok(answers) => {
                        asked
                            .iter()
                            .zip(answers)
                            .for_each(|(queue, (key, answer))| standings.answer(*queue, key, answer));
                    }
                    Err(error) => return error,
                }
                self.shared.wake.look_again();
            }
        }
    }

    /// Reads the connection until it ends, and says why it did.
    async fn drive(
        &self,
        mut connection: Connection<Socket, Stream>,
        me: Identity,
        heard: Arc<AtomicU64>,
        pong: watch::Sender<()>,
    ) -> String {
        let ping_channel = store::ping_channel(me.worker_id);
        loop {
            match poll_fn(|cx| connection.poll_message(cx)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    if notification.channel() == CHANNEL {
                        self.hear(notification.payload());
                    } else if notification.channel() == ping_channel {
                        heard.fetch_max(notification.payload().parse().unwrap_or(0), Ordering::AcqRel);
                        pong.send_replace(());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return crate::error::describe(&error),
                None => return "the server closed the connection".to_owned(),
            }
        }
    }

    fn hear(&self, payload: &str) {
        match payload.parse() {
            Ok(Notification::Wake { queue }) => {
                if let Some(number) = self.shared.queue_number(&queue) {
                    self.shared.wake.queue(number);
                }
            }
            Ok(Notification::Back { queue }) => {
                if let Some(number) = self.shared.queue_number(&queue) {
                    self.shared.bounds.reset(number);
                    self.shared.wake.queue(number);
                }
            }
            Ok(Notification::Vacated { key }) => self.shared.standings.vacated(key),
            Ok(Notification::Due { queue, at_ms }) => {
                if self.shared.queue_number(&queue).is_some() {
                    self.shared.wake.due_at(at_ms);
                }
            }
            Ok(Notification::Cancel) => self.control.check_cancels(),
            // Of a later release, or somebody else's: a poll finds whatever it meant.
            Err(_) => {}
        }
    }

    /// Waits until the connection hears a heartbeat, or has had time enough to.
    async fn hears(&self, heard: &AtomicU64, pongs: &mut watch::Receiver<()>) -> bool {
        // What was sent before proves nothing: with the answer to LISTEN, for which a pooler lent us one of its
        // connections, it may have handed on what that one had heard.
        let earlier = self.shared.lease.latest_ping();
        self.shared.lease.beat_now();
        let proof = pongs.wait_for(|()| heard.load(Ordering::Acquire) > earlier);
        matches!(timeout(PROOF_WITHIN, proof).await, Ok(Ok(_)))
    }

    async fn take_life_lock(&self, client: &Client, me: Identity) -> Result<(), Error> {
        let taking = async {
            while !store::try_life_lock(client, me.lock_key).await? {
                // Where both sides were cut off from each other, the server knows nothing of it.
                if store::end_former_session(client, me.lock_key).await? {
                    tracing::info!("ended the former session of this worker, which was cut off");
                }
                sleep(LOCK_RETRY).await;
            }
            Ok(())
        };
        let held = || Error::Connect("the worker's session lock is held by another session".to_owned());
        timeout(LOCK_WITHIN, taking).await.unwrap_or_else(|_| Err(held()))
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
