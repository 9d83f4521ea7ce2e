//! The claim loop: one task per worker, one statement for all its queues.
//!
//! `plan` decides how many jobs to claim and when. `cursor` decides the position. This module does the I/O.
//!
//! Promises:
//! - One claim is in flight at a time. While more jobs are due than fit the slots, the next one follows at once.
//! - A wake during a claim causes another claim.
//! - A buffered job is started or released within half a second.
//! - A claim that fails or times out loses no job: the jobs of an unanswered claim are released.
//! - A claim that the server cancels at its time limit is followed by a smaller one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep_until};

use crate::error::Error;
use crate::observe::Event;
use crate::postgres::{Reconnect, within};
use crate::store::claim::{self, Claim, ClaimRequest, Claimed, ClaimedJob, InTurn, Positions};
use crate::store::session::{Session, SessionSlot};
use crate::worker::Shutdown;
use crate::worker::adaptive_batch::AdaptiveBatch;
use crate::worker::claim::clock::DatabaseClock;
use crate::worker::claim::cursor::ScanStart;
use crate::worker::claim::idle_lock::IdleState;
use crate::worker::claim::plan::{QueuePlan, QueueView, Step};
use crate::worker::claim::timing::{ClaimOutcome, IdleLockAction};
use crate::worker::claim::turns::Turns;
use crate::worker::claim::unanswered::UnansweredClaims;
use crate::worker::execute::executor::Executor;
use crate::worker::handles::WorkerHandles;
use crate::worker::liveness::failover;

/// The server cancels a claim after 5 s. No answer shortly after that means that the connection is dead.
pub(in crate::worker) const CLAIM_TIMEOUT: Duration = Duration::from_secs(7);
/// The same for a claim that waits for its turn: for at most 2 s.
const CLAIM_IN_TURN_TIMEOUT: Duration = Duration::from_secs(9);
/// The pause between checks of an expired lease.
const LEASE_WAIT: Duration = Duration::from_millis(100);

/// The most jobs in one claim.
const MAX_CLAIM: usize = 1_000;
/// The longest poll interval while no notification can be received.
const MAX_POLL_NOT_LISTENING: Duration = Duration::from_millis(250);

pub(in crate::worker) struct Fetcher<S> {
    handles: Arc<WorkerHandles>,
    executor: Arc<Executor<S>>,
    queues: Vec<QueuePlan>,
    batch: AdaptiveBatch,
    session: SessionSlot,
    turns: Turns,
    reconnect: Reconnect,
    clock: Option<DatabaseClock>,
    /// When to poll all queues.
    next_poll: Instant,
    unanswered: UnansweredClaims,
    /// The number of server changes at the last reconciliation.
    reconciled_changes: u64,
}

/// One queue's part of a claim.
struct PlannedClaim {
    queue: usize,
    limit: usize,
    start: ScanStart,
    idle: IdleState,
}

impl<S: Send + Sync + 'static> Fetcher<S> {
    pub fn new(handles: Arc<WorkerHandles>, executor: Arc<Executor<S>>) -> Self {
        let now = Instant::now();
        Self {
            queues: handles.config.queues.iter().map(|_| QueuePlan::new(now)).collect(),
            handles,
            executor,
            batch: AdaptiveBatch::new(MAX_CLAIM),
            session: SessionSlot::default(),
            turns: Turns::default(),
            reconnect: Reconnect::default(),
            clock: None,
            next_poll: now,
            unanswered: UnansweredClaims::default(),
            reconciled_changes: 0,
        }
    }

    /// Claims until the shutdown begins. Returns whether the outcome of every claim is known.
    pub async fn run(mut self, shutdown: Shutdown) -> bool {
        self.fetch(&shutdown).await;
        for queue in 0..self.queues.len() {
            self.handles.idle_locks.release(queue);
            self.executor.release_buffered(queue).await;
        }
        if !self.unanswered.is_empty() {
            self.unanswered.check_last(&self.handles).await;
        }
        self.unanswered.is_empty()
    }

    async fn fetch(&mut self, shutdown: &Shutdown) {
        loop {
            if shutdown.has_begun() {
                return;
            }
            self.take_wakes();
            let now = Instant::now();
            // Checked in every round, so that a busy queue cannot starve the others.
            if now >= self.next_poll {
                self.poll_all(now);
            }
            if let Err(error) = self.reconcile().await {
                tracing::warn!(%error, "running jobs could not be reconciled with the database; trying again");
                self.pause(shutdown).await;
                continue;
            }
            let planned = self.plan(now).await;
            if planned.is_empty() {
                tokio::select! {
                    biased;
                    () = shutdown.begun() => return,
                    () = self.handles.wake.pending() => {}
                    () = self.executor.slots.refill_wanted() => {}
                    () = self.executor.args.memory.freed() => {}
                    () = sleep_until(TokioInstant::from_std(self.next_deadline(now))) => {}
                }
                continue;
            }
            if !self.handles.lease.is_fresh() {
                // Peers may have declared this worker dead. They would take the jobs from it.
                tokio::time::sleep(LEASE_WAIT).await;
                continue;
            }
            match self.claim(&planned).await {
                Ok(claimed) => self.dispatch(&planned, claimed, shutdown).await,
                Err(error) => {
                    tracing::warn!(%error, "claim failed; trying again");
                    // The heartbeat detects a change of the server.
                    self.handles.lease.heartbeat_now();
                    self.pause(shutdown).await;
                }
            }
        }
    }

    /// Closes the session after a database error, and waits.
    async fn pause(&mut self, shutdown: &Shutdown) {
        self.session.close();
        tokio::select! {
            () = shutdown.begun() => {}
            () = tokio::time::sleep(self.reconnect.next_delay()) => {}
        }
    }

    /// Passes pending wakes to the plans.
    fn take_wakes(&mut self) {
        let pending = self.handles.wake.take();
        let now = Instant::now();
        let idle_locks = &self.handles.idle_locks;
        for (number, plan) in self.queues.iter_mut().enumerate() {
            if pending.has(number) {
                plan.on_notify(idle_locks.of(number), self.handles.live_peers(), now);
            }
            if plan.verifies_peer(idle_locks.of(number), now) {
                idle_locks.verify_peer(number);
            }
            plan.on_notify_epoch(idle_locks.notify_epoch(number), now);
        }
        if let (Some(due_ms), Some(clock)) = (pending.due_ms, &self.clock) {
            self.next_poll = self.next_poll.min(clock.instant_of(due_ms));
        }
    }

    /// Polls all queues.
    fn poll_all(&mut self, now: Instant) {
        self.queues.iter_mut().for_each(|plan| plan.claim_by(now));
        self.next_poll = now + self.poll_interval();
    }

    /// The poll interval, up to 10 % shorter, so that workers started together do not poll together.
    fn poll_interval(&self) -> Duration {
        let config = &self.handles.config;
        let is_not_listening = config.listen
            && (self.handles.idle_locks.of(0) == IdleState::NotListening
                || self.handles.lease.notifications_suspended());
        let interval =
            if is_not_listening { config.poll_interval.min(MAX_POLL_NOT_LISTENING) } else { config.poll_interval };
        interval.mul_f64(0.9 + 0.1 * fastrand::f64())
    }

    fn view(&self, queue: usize) -> QueueView {
        let mut occupancy = self.executor.slots.occupancy(queue);
        occupancy.free = occupancy.free.min(self.executor.args.memory.room());
        QueueView { occupancy, idle: self.handles.idle_locks.of(queue) }
    }

    /// Takes the next step of each queue. Returns what to claim.
    async fn plan(&mut self, now: Instant) -> Vec<PlannedClaim> {
        let mut planned = Vec::new();
        let mut room = self.executor.args.memory.room();
        for queue in 0..self.queues.len() {
            let mut view = self.view(queue);
            if self.queues[queue].releases_idle_lock(&view, now) {
                self.handles.idle_locks.release(queue);
                view.idle = IdleState::Releasing;
            }
            match self.queues[queue].step(&view, self.batch.limit(), now) {
                Step::Wait => {}
                Step::ReleaseBuffered => self.executor.release_buffered(queue).await,
                Step::RefillAt(low) => self.executor.slots.refill_at(queue, low),
                Step::Claim(_) if room == 0 => self.executor.slots.refill_at(queue, 0),
                Step::Claim(limit) => {
                    let limit = limit.min(room);
                    room -= limit;
                    planned.push((queue, limit, view.idle));
                }
            }
        }
        let from_start = !planned.is_empty() && self.handles.catch_up.may_scan_from_start();
        let cursors = &self.handles.cursors;
        let claim = |(queue, limit, idle)| PlannedClaim { queue, limit, idle, start: cursors.start(queue, from_start) };
        planned.into_iter().map(claim).collect()
    }

    /// The time of the next step if no event comes first.
    fn next_deadline(&self, now: Instant) -> Instant {
        let of_queue = |(queue, plan): (usize, &QueuePlan)| plan.deadline(&self.view(queue), now);
        self.queues.iter().enumerate().filter_map(of_queue).fold(self.next_poll, Instant::min)
    }

    /// Whether the next claim takes its turn. Not if a queue of this worker has no backlog: its jobs would wait, too.
    fn takes_turn(&self, session: &Session, now: Instant) -> bool {
        session.is_direct() && self.turns.apply(now) && self.queues.iter().all(QueuePlan::is_draining)
    }

    /// Takes the session for claims. The caller puts it back unless it fails.
    async fn take_session(&mut self) -> Result<Session, Error> {
        let handles = &self.handles;
        let open = async || within(CLAIM_TIMEOUT, claim::open_session(&handles.database, handles.is_direct())).await;
        self.session.take_or_open(open).await
    }

    async fn claim(&mut self, planned: &[PlannedClaim]) -> Result<Claimed, Error> {
        let session = self.take_session().await?;
        self.unanswered.check(&self.handles, &session).await;
        let handles = Arc::clone(&self.handles);
        let request = |claim: &PlannedClaim| ClaimRequest {
            queue: &handles.config.queues[claim.queue].name,
            limit: claim.limit,
            after: claim.start.positions,
        };
        let requests: Vec<ClaimRequest<'_>> = planned.iter().map(request).collect();
        let claim = Claim::new(handles.lease.worker_id(), &handles.kinds, &requests);
        let began = Instant::now();
        let answer = self.run_claim(&session, &claim).await;
        match answer {
            Ok(claimed) => {
                self.session.keep(session);
                self.reconnect.reset();
                self.batch.grow();
                self.note_cost(planned, claimed.jobs.len(), began.elapsed().saturating_sub(claimed.waited));
                self.send_events(planned, &claimed, began.elapsed());
                for claim in planned {
                    self.queues[claim.queue].turn_waited(claimed.waited);
                }
                Ok(claimed)
            }
            Err(error) => {
                if error.is_cut_short() {
                    self.batch.shrink(planned.iter().map(|claim| claim.limit).max().unwrap_or(0));
                }
                if error.leaves_doubt() {
                    self.unanswered.add(began);
                }
                Err(error)
            }
        }
    }

    /// Runs a claim, in its turn if there is a backlog.
    async fn run_claim(&mut self, session: &Session, claim: &Claim<'_>) -> Result<Claimed, Error> {
        let now = Instant::now();
        if self.takes_turn(session, now) {
            let skip_locked = self.turns.skip_locked(now);
            match within(CLAIM_IN_TURN_TIMEOUT, Box::pin(claim.run_in_turn(session, skip_locked))).await? {
                InTurn::Claimed(claimed) => {
                    self.turns.had_turn(skip_locked);
                    return Ok(claimed);
                }
                InTurn::MissedTurn => {
                    tracing::debug!(
                        "a peer has kept its turn to claim for too long: claiming without turns for a while"
                    );
                    self.turns.missed_turn(Instant::now());
                }
                InTurn::MetLockedJob => {
                    tracing::debug!("a transaction has kept a waiting job locked: skipping locked jobs for a while");
                    self.turns.met_locked_job(Instant::now());
                }
            }
        }
        within(CLAIM_TIMEOUT, claim.run(session)).await
    }

    /// Sends one event per queue of the claim.
    fn send_events(&self, planned: &[PlannedClaim], claimed: &Claimed, took: Duration) {
        for (number, claim) in planned.iter().enumerate() {
            self.handles.events.send(|| Event::ClaimFinished {
                queue: self.handles.config.queues[claim.queue].name.to_string(),
                asked: claim.limit,
                got: claimed.jobs.iter().filter(|job| job.request == number).count(),
                took,
            });
        }
    }

    /// After a server change, stops jobs that the server has lost and releases those that this worker does not run.
    async fn reconcile(&mut self) -> Result<(), Error> {
        let changes = self.handles.servers.changes();
        if changes == self.reconciled_changes {
            return Ok(());
        }
        let session = self.take_session().await?;
        within(CLAIM_TIMEOUT, failover::stop_vanished(&self.handles, &session)).await?;
        // The new server may show other claims than this worker knows: release them as after an unanswered claim.
        self.unanswered.add(Instant::now());
        self.unanswered.check(&self.handles, &session).await;
        self.session.keep(session);
        self.reconciled_changes = changes;
        Ok(())
    }

    /// Records the duration of a scan from the start, without the cost of each job.
    fn note_cost(&self, planned: &[PlannedClaim], jobs: usize, took: Duration) {
        if planned.iter().all(|claim| claim.start.positions == Positions::START) {
            let share = 1 + u32::try_from(jobs / 50).unwrap_or(u32::MAX);
            self.handles.catch_up.scan_took(took / share);
        } else {
            self.handles.catch_up.cursor_was_used();
        }
    }

    /// Starts the claimed jobs and plans the next claim.
    async fn dispatch(&mut self, planned: &[PlannedClaim], claimed: Claimed, shutdown: &Shutdown) {
        let now = Instant::now();
        self.clock = Some(DatabaseClock::read(claimed.database_ms, now));
        if let Some(next_due_ms) = claimed.next_due_ms {
            let ahead = Duration::try_from_secs_f64(next_due_ms.max(0.0) / 1000.0).unwrap_or(Duration::MAX);
            if ahead < Duration::from_hours(2) {
                self.next_poll = self.next_poll.min(now + ahead);
            }
        }
        self.next_poll = self.unanswered.next_check().map_or(self.next_poll, |next| next.min(self.next_poll));
        let mut given: Vec<Vec<ClaimedJob>> = planned.iter().map(|_| Vec::new()).collect();
        for job in claimed.jobs {
            if let Some(given) = given.get_mut(job.request) {
                given.push(job);
            }
        }
        // Jobs claimed under a former worker id belong to peers, now or soon.
        let is_ours = claimed.worker == self.handles.lease.worker_id() && self.handles.lease.is_fresh();
        let mut suspects = Vec::new();
        for (claim, jobs) in planned.iter().zip(given) {
            self.handles.cursors.advance(claim.queue, claim.start, claim.limit, &jobs, claimed.at);
            self.on_claimed(claim, jobs.len(), now);
            for job in jobs {
                if shutdown.has_begun() || !is_ours {
                    self.executor.release(claim.queue, job, claimed.worker, Duration::ZERO).await;
                } else if job.since_crash.is_some() {
                    suspects.push((claim.queue, job));
                } else {
                    self.executor.admit(claim.queue, job, claimed.worker);
                }
            }
        }
        if !suspects.is_empty() {
            self.executor.isolate(suspects, claimed.worker, shutdown).await;
            self.poll_all(Instant::now());
        }
    }

    /// Plans the next claim of a queue, and acquires or releases its idle lock.
    fn on_claimed(&mut self, claim: &PlannedClaim, got: usize, now: Instant) {
        let outcome = ClaimOutcome { asked: claim.limit, got, idle: claim.idle };
        let (was_notified_in_vain, action) = self.queues[claim.queue].on_claim(outcome, now);
        if was_notified_in_vain && claim.start.positions != Positions::START {
            self.handles.catch_up.scan_soon();
        }
        match action {
            IdleLockAction::Keep => {}
            IdleLockAction::Acquire => self.handles.idle_locks.acquire(claim.queue),
            IdleLockAction::Release => self.handles.idle_locks.release(claim.queue),
        }
    }
}
