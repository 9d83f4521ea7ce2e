//! Claiming: the one task of a worker process that fetches, for all its queues in one round trip.
//!
//! Each queue has an appetite:
//!
//! ```text
//!            woken                        batch full
//!   ┌──────────────────────▶ Hungry ◀───────────────────┐
//!   │                          │ batch short            │
//!  Idle ◀── nothing there ── Confirm ───────────────────┘
//!   │  ▲                       ▲
//!   │  └──── nothing there ────│──┐
//!   └─ poll, or a due time ──▶ Look ── something there
//! ```
//!
//! A short batch does not prove a queue empty: a row that changed between the claim's snapshot and
//! its lock is passed over although it could be claimed. Hence `Confirm`, one more look.
//!
//! Promises: one claim in flight, as large as there are free slots, with no pause between claims;
//! a wake-up during a claim leads to another; a claim that fails or hangs loses no job, since jobs
//! that it may have claimed unseen are given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep_until};

use super::Shutdown;
use super::executor::Executor;
use super::shared::Shared;
use crate::Error;
use crate::database::{Reconnect, within};
use crate::store::claim::{self, Claimed};
use crate::store::session::Session;

/// The server gives a claim up after 5 s, so that no answer after a little longer means that the
/// connection is dead.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(7);
/// For how long after a claim without an answer its jobs may turn up as claimed.
const UNSEEN_FOR: Duration = Duration::from_secs(10);
/// How often to look for them meanwhile.
const UNSEEN_LOOK: Duration = Duration::from_secs(2);
/// The longest sleep while the lease has run out.
const LEASE_WAIT: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Appetite {
    Idle,
    Look,
    Confirm,
    Hungry,
}

pub(super) struct Fetcher<S> {
    shared: Arc<Shared>,
    executor: Arc<Executor<S>>,
    appetites: Vec<Appetite>,
    session: Option<Session>,
    reconnect: Reconnect,
    clock: Option<DatabaseClock>,
    /// When to look at all queues without having been woken.
    next_look: Instant,
    /// Until when a claim without an answer may still take effect, and when to look next.
    unseen: Option<(Instant, Instant)>,
}

/// Relates the database's clock to ours, so that a due time becomes a timer.
struct DatabaseClock {
    database_ms: f64,
    read_at: Instant,
}

impl DatabaseClock {
    fn instant_of(&self, database_ms: i64) -> Instant {
        #[allow(clippy::cast_precision_loss)] // ms since 1970 fit 52 bits for 140,000 years
        let ahead_ms = database_ms as f64 - self.database_ms;
        self.read_at + Duration::try_from_secs_f64(ahead_ms.max(0.0) / 1000.0).unwrap_or(Duration::from_hours(1))
    }
}

impl<S: Send + Sync + 'static> Fetcher<S> {
    pub fn new(shared: Arc<Shared>, executor: Arc<Executor<S>>) -> Self {
        Self {
            appetites: vec![Appetite::Hungry; shared.settings.queues.len()],
            shared,
            executor,
            session: None,
            reconnect: Reconnect::default(),
            clock: None,
            next_look: Instant::now(),
            unseen: None,
        }
    }

    /// Fetches until the shutdown begins. Answers whether all that it may have claimed is known.
    pub async fn run(mut self, shutdown: Shutdown) -> bool {
        self.fetch(&shutdown).await;
        if self.unseen.is_none() {
            return true;
        }
        // What has taken effect by now goes back at once. What may still do so does not, so the
        // answer remains no.
        if let Err(error) = self.settle().await {
            tracing::warn!(%error, "jobs of a claim without an answer could not be given back");
        }
        false
    }

    async fn fetch(&mut self, shutdown: &Shutdown) {
        loop {
            self.take_wakes();
            // Also while there is no time to sleep, lest a busy queue keep it from the others.
            if Instant::now() >= self.next_look {
                self.look();
            }
            let wanted = self.wanted();
            if wanted.is_empty() {
                tokio::select! {
                    biased;
                    () = shutdown.begun() => return,
                    () = self.shared.wake.pending() => {}
                    () = self.shared.slots.freed(), if self.is_starved() => {}
                    () = sleep_until(TokioInstant::from_std(self.next_look)) => {}
                }
                continue;
            }
            if shutdown.has_begun() {
                return;
            }
            if !self.shared.lease.is_fresh() {
                // Others may have given this worker up: what it claimed would be taken from it.
                tokio::time::sleep(LEASE_WAIT).await;
                continue;
            }
            match self.claim(&wanted).await {
                Ok(claimed) => self.accept(&wanted, claimed, shutdown).await,
                Err(error) => {
                    tracing::warn!(%error, "claim failed; trying again");
                    self.session = None;
                    tokio::select! {
                        () = shutdown.begun() => return,
                        () = tokio::time::sleep(self.reconnect.next_delay()) => {}
                    }
                }
            }
        }
    }

    /// Turns what is pending into appetite.
    fn take_wakes(&mut self) {
        let pending = self.shared.wake.take();
        for (number, appetite) in self.appetites.iter_mut().enumerate() {
            if pending.has(number) {
                *appetite = Appetite::Hungry;
            }
        }
        if let (Some(due_ms), Some(clock)) = (pending.due_ms, &self.clock) {
            self.next_look = self.next_look.min(clock.instant_of(due_ms));
        }
    }

    fn look(&mut self) {
        for appetite in &mut self.appetites {
            if *appetite == Appetite::Idle {
                *appetite = Appetite::Look;
            }
        }
        self.next_look = Instant::now() + self.poll_interval();
    }

    /// The poll interval, up to 10 % shorter, so that a fleet started at once does not poll at once.
    fn poll_interval(&self) -> Duration {
        self.shared.settings.poll_interval.mul_f64(0.9 + 0.1 * fastrand::f64())
    }

    /// The queues to claim from, each with its free slots.
    fn wanted(&self) -> Vec<(usize, usize)> {
        (0..self.appetites.len())
            .filter(|number| self.appetites[*number] != Appetite::Idle)
            .map(|number| (number, self.shared.slots.free(number)))
            .filter(|(_, free)| *free > 0)
            .collect()
    }

    /// Whether some queue would claim if it had a free slot.
    fn is_starved(&self) -> bool {
        self.appetites.iter().any(|appetite| *appetite != Appetite::Idle)
    }

    async fn claim(&mut self, wanted: &[(usize, usize)]) -> Result<Claimed, Error> {
        let session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            _ => within(CLAIM_TIMEOUT, claim::open_session(&self.shared.database, self.shared.is_direct())).await?,
        };
        self.give_back_unseen(&session).await;
        let queues: Vec<&str> = wanted.iter().map(|(number, _)| &*self.shared.settings.queues[*number].name).collect();
        #[allow(clippy::cast_possible_wrap)] // at most 10,000
        let free: Vec<i64> = wanted.iter().map(|(_, free)| *free as i64).collect();
        let worker = self.shared.lease.worker_id();
        let now = Instant::now();
        let answer = within(CLAIM_TIMEOUT, claim::claim(&session, worker, &self.shared.kinds, &queues, &free)).await;
        match answer {
            Ok(claimed) => {
                self.session = Some(session);
                self.reconnect.reset();
                Ok(claimed)
            }
            Err(error) => {
                if error.leaves_doubt() {
                    self.unseen = Some((now + UNSEEN_FOR, now));
                }
                Err(error)
            }
        }
    }

    /// After a claim without an answer: the database may hold jobs for this worker that it never
    /// saw. It reads the whole table; where that takes too long it is tried again beside the claims,
    /// which go on.
    async fn give_back_unseen(&mut self, session: &Session) {
        let Some((until, next)) = self.unseen else { return };
        if Instant::now() < next {
            return;
        }
        let held = self.shared.held.ids();
        let given_back = claim::give_back_unheld(session, self.shared.lease.worker_id(), &held);
        let is_over = match within(CLAIM_TIMEOUT, given_back).await {
            Ok(count) => {
                if count > 0 {
                    tracing::warn!(count, "gave back jobs whose claim was never answered");
                }
                Instant::now() >= until
            }
            Err(error) => {
                tracing::warn!(%error, "jobs of a claim without an answer could not be given back; trying again");
                false
            }
        };
        self.unseen = (!is_over).then(|| (until, Instant::now() + UNSEEN_LOOK));
    }

    /// As [`Self::give_back_unseen`], on a new connection.
    async fn settle(&mut self) -> Result<(), Error> {
        let settled = async {
            let session = claim::open_session(&self.shared.database, self.shared.is_direct()).await?;
            claim::give_back_unheld(&session, self.shared.lease.worker_id(), &self.shared.held.ids()).await
        };
        within(CLAIM_TIMEOUT, settled).await?;
        Ok(())
    }

    /// Starts what was claimed and decides when to claim next.
    async fn accept(&mut self, wanted: &[(usize, usize)], claimed: Claimed, shutdown: &Shutdown) {
        let now = Instant::now();
        self.clock = Some(DatabaseClock { database_ms: claimed.database_ms, read_at: now });
        if let Some(next_due_ms) = claimed.next_due_ms {
            let ahead = Duration::try_from_secs_f64(next_due_ms.max(0.0) / 1000.0).unwrap_or(Duration::MAX);
            if ahead < Duration::from_hours(2) {
                self.next_look = self.next_look.min(now + ahead);
            }
        }
        if let Some((_, next)) = self.unseen {
            self.next_look = self.next_look.min(next);
        }
        let mut counts = vec![0; self.appetites.len()];
        for job in claimed.jobs {
            let Some(queue) = self.shared.queue_number(&job.queue) else { continue };
            counts[queue] += 1;
            // Under a former id the job belongs to the others already, or soon will.
            let is_ours = claimed.worker == self.shared.lease.worker_id() && self.shared.lease.is_fresh();
            if shutdown.has_begun() || !is_ours {
                self.executor.give_back(queue, &job, claimed.worker).await;
            } else {
                self.executor.start(queue, job, claimed.worker);
            }
        }
        for (number, free) in wanted {
            self.appetites[*number] = match (counts[*number], self.appetites[*number]) {
                (count, _) if count >= *free => Appetite::Hungry,
                (0, Appetite::Look | Appetite::Confirm) => Appetite::Idle,
                _ => Appetite::Confirm,
            };
        }
    }
}
