//! Claiming: the one task of a worker process that fetches, for all its queues in one round trip.
//!
//! How many jobs of a queue: as many as it has free slots, and some ahead (`prefetch`). When: as its
//! `appetite` says. From where: from its bound (`bounds`), or from the start where that costs nothing.
//!
//! Promises: one claim in flight, with no pause while there is more to claim than there are slots; a
//! wake-up during a claim leads to another; a job claimed ahead is started or given back within half
//! a second; a claim that fails or hangs loses no job, since jobs that it may have claimed unseen
//! are given back; one that took the database too long is followed by a smaller one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep_until};

use super::Shutdown;
use super::appetite::{Advice, Appetite, Meal};
use super::bounds::Start;
use super::database_clock::DatabaseClock;
use super::executor::Executor;
use super::portion::Portion;
use super::prefetch::Prefetch;
use super::shared::Shared;
use super::standing::Standing;
use super::unseen::Unseen;
use crate::Error;
use crate::database::{Reconnect, within};
use crate::store::claim::{self, Claimed, ClaimedJob, Places, Wish};
use crate::store::session::Session;

/// The server gives a claim up after 5 s, so that no answer after a little longer means that the
/// connection is dead.
pub(super) const CLAIM_TIMEOUT: Duration = Duration::from_secs(7);
/// The longest sleep while the lease has run out.
const LEASE_WAIT: Duration = Duration::from_millis(100);

/// The most jobs in one claim.
const MAX_CLAIM: usize = 1_000;
/// How long a job may wait for a slot in this process.
const LONGEST_READY: Duration = Duration::from_millis(500);
/// How long all slots may be taken before the worker stops standing idle.
const FULL_FOR: Duration = Duration::from_millis(5);
/// How often a worker that another stands for looks whether it still does.
const CHECK_COVER: Duration = Duration::from_secs(2);
/// The longest poll interval while no notification can be heard.
const DEAF_POLL: Duration = Duration::from_millis(250);

pub(super) struct Fetcher<S> {
    shared: Arc<Shared>,
    executor: Arc<Executor<S>>,
    queues: Vec<Queue>,
    portion: Portion,
    session: Option<Session>,
    reconnect: Reconnect,
    clock: Option<DatabaseClock>,
    /// When to look at all queues without having been woken.
    next_look: Instant,
    unseen: Unseen,
}

/// What the fetcher knows of one queue.
struct Queue {
    appetite: Appetite,
    prefetch: Prefetch,
    /// Since when all its slots are taken.
    full_since: Option<Instant>,
    /// When it was last asked who stands idle for it.
    stood_at: Instant,
    /// Whether a notification told of a job since the last claim.
    is_called: bool,
    /// How often it has come to be told of new jobs.
    answers: u32,
}

/// One queue's part of a claim.
struct Want {
    queue: usize,
    limit: usize,
    start: Start,
    stood: Standing,
}

impl<S: Send + Sync + 'static> Fetcher<S> {
    pub fn new(shared: Arc<Shared>, executor: Arc<Executor<S>>) -> Self {
        let now = Instant::now();
        let queue = |_| Queue {
            appetite: Appetite::new(now),
            prefetch: Prefetch::new(now),
            full_since: None,
            stood_at: now,
            is_called: false,
            answers: 0,
        };
        Self {
            queues: (0..shared.settings.queues.len()).map(queue).collect(),
            shared,
            executor,
            portion: Portion::new(MAX_CLAIM),
            session: None,
            reconnect: Reconnect::default(),
            clock: None,
            next_look: now,
            unseen: Unseen::default(),
        }
    }

    /// Fetches until the shutdown begins. Answers whether all that it may have claimed is known.
    pub async fn run(mut self, shutdown: Shutdown) -> bool {
        self.fetch(&shutdown).await;
        for queue in 0..self.queues.len() {
            self.shared.standings.leave(queue);
            self.executor.give_back_ready(queue).await;
        }
        if !self.unseen.is_nothing() {
            self.unseen.settle(&self.shared).await;
        }
        self.unseen.is_nothing()
    }

    async fn fetch(&mut self, shutdown: &Shutdown) {
        loop {
            if shutdown.has_begun() {
                return;
            }
            self.take_wakes();
            let now = Instant::now();
            // Also while there is no time to sleep, lest a busy queue keep it from the others.
            if now >= self.next_look {
                self.look(now);
            }
            let wants = self.wants(now).await;
            if wants.is_empty() {
                tokio::select! {
                    biased;
                    () = shutdown.begun() => return,
                    () = self.shared.wake.pending() => {}
                    () = self.executor.lanes.wanting() => {}
                    () = sleep_until(TokioInstant::from_std(self.next_time(now))) => {}
                }
                continue;
            }
            if !self.shared.lease.is_fresh() {
                // Others may have given this worker up: what it claimed would be taken from it.
                tokio::time::sleep(LEASE_WAIT).await;
                continue;
            }
            match self.claim(&wants).await {
                Ok(claimed) => self.accept(&wants, claimed, shutdown).await,
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
        let now = Instant::now();
        for (number, queue) in self.queues.iter_mut().enumerate() {
            if pending.has(number) {
                queue.is_called = true;
                queue.appetite.hear(self.shared.standings.of(number), now);
            }
            if self.shared.standings.of(number) == Standing::Covered && now - queue.stood_at >= CHECK_COVER {
                queue.stood_at = now;
                self.shared.standings.check_cover(number);
            }
            // One more look, for the jobs that were added before.
            let answers = self.shared.standings.answers(number);
            if std::mem::replace(&mut queue.answers, answers) != answers {
                queue.appetite.look_at(now);
            }
        }
        if let (Some(due_ms), Some(clock)) = (pending.due_ms, &self.clock) {
            self.next_look = self.next_look.min(clock.instant_of(due_ms));
        }
    }

    /// Looks at all queues without having been told of anything.
    fn look(&mut self, now: Instant) {
        for queue in &mut self.queues {
            queue.appetite.look_at(now);
        }
        self.next_look = now + self.poll_interval();
    }

    /// The poll interval, up to 10 % shorter, so that a fleet started at once does not poll at once.
    fn poll_interval(&self) -> Duration {
        let settings = &self.shared.settings;
        let is_deaf = settings.listen && self.shared.standings.of(0) == Standing::Deaf;
        let interval = if is_deaf { settings.poll_interval.min(DEAF_POLL) } else { settings.poll_interval };
        interval.mul_f64(0.9 + 0.1 * fastrand::f64())
    }

    /// What to claim now. Gives back jobs that have waited too long for a slot.
    async fn wants(&mut self, now: Instant) -> Vec<Want> {
        let mut wants = Vec::new();
        for number in 0..self.queues.len() {
            let queue = &mut self.queues[number];
            let occupancy = self.executor.lanes.occupancy(number);
            queue.prefetch.note(occupancy.ended, now);
            if occupancy.waiting_since.is_some_and(|since| now - since >= LONGEST_READY) {
                self.executor.give_back_ready(number).await;
                continue;
            }
            let mut stood = self.shared.standings.of(number);
            queue.full_since = if occupancy.free > 0 { None } else { queue.full_since.or(Some(now)) };
            if stood.is_told() && queue.full_since.is_some_and(|since| now - since >= FULL_FOR) {
                self.shared.standings.leave(number);
                stood = Standing::Leaving;
                // Jobs will be added unannounced, so it has to look for them once there is room.
                queue.appetite.look_at(now);
            }
            if !queue.appetite.is_due(now) {
                continue;
            }
            let ahead = queue.prefetch.ahead();
            let low = ahead / 2;
            if occupancy.free == 0 && occupancy.ready > low.saturating_sub(1) {
                self.executor.lanes.refill_at(number, low.saturating_sub(1));
                continue;
            }
            let limit = (occupancy.free + ahead.saturating_sub(occupancy.ready)).min(self.portion.most());
            if limit == 0 {
                self.executor.lanes.refill_at(number, 0);
                continue;
            }
            wants.push((number, limit, stood));
        }
        let whole = !wants.is_empty() && self.shared.rescan.is_cheap();
        let want = |(queue, limit, stood)| Want { queue, limit, stood, start: self.shared.bounds.start(queue, whole) };
        wants.into_iter().map(want).collect()
    }

    /// When to look at the queues again if nothing happens until then.
    fn next_time(&self, now: Instant) -> Instant {
        let mut time = self.next_look;
        for (number, queue) in self.queues.iter().enumerate() {
            let occupancy = self.executor.lanes.occupancy(number);
            if let Some(since) = occupancy.waiting_since {
                time = time.min(since + LONGEST_READY);
            }
            if self.shared.standings.of(number) == Standing::Covered {
                time = time.min(queue.stood_at + CHECK_COVER);
            }
            if let Some(next) = queue.appetite.next().filter(|next| *next > now || occupancy.free > 0) {
                time = time.min(next);
            }
            if occupancy.free == 0 && self.shared.standings.of(number).is_told() {
                time = time.min(queue.full_since.unwrap_or(now) + FULL_FOR);
            }
        }
        time
    }

    async fn claim(&mut self, wants: &[Want]) -> Result<Claimed, Error> {
        let session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            _ => within(CLAIM_TIMEOUT, claim::open_session(&self.shared.database, self.shared.is_direct())).await?,
        };
        self.unseen.look(&self.shared, &session).await;
        let wish = |want: &Want| Wish {
            queue: &self.shared.settings.queues[want.queue].name,
            limit: want.limit,
            after: want.start.places,
        };
        let wishes: Vec<Wish<'_>> = wants.iter().map(wish).collect();
        let worker = self.shared.lease.worker_id();
        let began = Instant::now();
        let answer = within(CLAIM_TIMEOUT, claim::claim(&session, worker, &self.shared.kinds, &wishes)).await;
        match answer {
            Ok(claimed) => {
                self.session = Some(session);
                self.reconnect.reset();
                self.portion.was_managed();
                self.note_cost(wants, claimed.jobs.len(), began.elapsed());
                Ok(claimed)
            }
            Err(error) => {
                if error.is_cut_short() {
                    self.portion.was_too_much(wants.iter().map(|want| want.limit).max().unwrap_or(0));
                }
                if error.leaves_doubt() {
                    self.unseen.may_come_from(began);
                }
                Err(error)
            }
        }
    }

    /// Learns what a look from the start costs, apart from what it does for each job.
    fn note_cost(&self, wants: &[Want], jobs: usize, took: Duration) {
        if wants.iter().all(|want| want.start.places == Places::START) {
            let share = 1 + u32::try_from(jobs / 50).unwrap_or(u32::MAX);
            self.shared.rescan.took(took / share);
        } else {
            self.shared.rescan.bounded();
        }
    }

    /// Starts what was claimed and decides when to claim next.
    async fn accept(&mut self, wants: &[Want], claimed: Claimed, shutdown: &Shutdown) {
        let now = Instant::now();
        self.clock = Some(DatabaseClock::read(claimed.database_ms, now));
        if let Some(next_due_ms) = claimed.next_due_ms {
            let ahead = Duration::try_from_secs_f64(next_due_ms.max(0.0) / 1000.0).unwrap_or(Duration::MAX);
            if ahead < Duration::from_hours(2) {
                self.next_look = self.next_look.min(now + ahead);
            }
        }
        self.next_look = self.unseen.next_look().map_or(self.next_look, |next| next.min(self.next_look));
        let mut given: Vec<Vec<ClaimedJob>> = wants.iter().map(|_| Vec::new()).collect();
        for job in claimed.jobs {
            if let Some(given) = given.get_mut(job.wish) {
                given.push(job);
            }
        }
        // Under a former id the jobs belong to the others already, or soon will.
        let is_ours = claimed.worker == self.shared.lease.worker_id() && self.shared.lease.is_fresh();
        let mut suspects = Vec::new();
        for (want, jobs) in wants.iter().zip(given) {
            self.shared.bounds.advance(want.queue, want.start, want.limit, &jobs, claimed.looked_at);
            self.digest(want, jobs.len(), now);
            for job in jobs {
                if shutdown.has_begun() || !is_ours {
                    self.executor.give_back(want.queue, job, claimed.worker, Duration::ZERO).await;
                } else if job.lost_for.is_some() {
                    suspects.push((want.queue, job));
                } else {
                    self.executor.take(want.queue, job, claimed.worker);
                }
            }
        }
        if !suspects.is_empty() {
            self.executor.isolate(suspects, claimed.worker, shutdown).await;
            self.look(Instant::now());
        }
    }

    /// Decides when to claim from a queue next, and whether to stand idle for it.
    fn digest(&mut self, want: &Want, got: usize, now: Instant) {
        let queue = &mut self.queues[want.queue];
        if std::mem::take(&mut queue.is_called) && got == 0 && want.start.places != Places::START {
            self.shared.rescan.hurry();
        }
        match queue.appetite.after(Meal { asked: want.limit, got, stood: want.stood }, now) {
            Advice::Keep => {}
            Advice::Stand => {
                queue.stood_at = now;
                self.shared.standings.stand(want.queue);
            }
            Advice::Leave => self.shared.standings.leave(want.queue),
        }
    }
}
