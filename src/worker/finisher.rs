//! Recording outcomes, in batches that form by themselves: while one is being written, the next
//! gathers. An idle worker writes a single outcome at once.
//!
//! Promises: each outcome is written only if its fence still holds; a passing fault of the
//! database is retried for as long as the worker lives; a batch that takes the database too long is
//! written in parts; one outcome that it will not take is singled out, and the others go through.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::attempt::uncommitted;
use super::outcome::{Ended, FailedBy, Outcome};
use super::portion::Portion;
use super::record::{self, Recorded, statement_of};
use super::report::report;
use super::shared::Shared;
use super::text::{MAX_ERROR_BYTES, storable};
use crate::Error;
use crate::database::{Reconnect, within};
use crate::job::JobId;
use crate::store::finish::{self, Failure};
use crate::store::history;
use crate::store::session::Session;

/// The most outcomes in one statement.
const MAX_BATCH: usize = 1_000;
/// The most outcomes that wait; beyond that, attempts keep their slots.
pub(super) const MAX_WAITING: usize = 2_000;
/// The most outcomes whose jobs somebody has locked; beyond that, no others are taken.
const MAX_PARKED: usize = 1_000;
/// How often to look whether they still are.
const PARKED_FOR: Duration = Duration::from_millis(500);
/// The server gives a statement up after 10 s.
const WRITE_TIMEOUT: Duration = Duration::from_secs(12);

pub(super) struct Finisher {
    shared: Arc<Shared>,
    waiting: mpsc::Receiver<Ended>,
    portion: Portion,
    session: Option<Session>,
    reconnect: Reconnect,
    closing: CancellationToken,
    cutoff: CancellationToken,
    /// Outcomes whose jobs somebody has locked, which are not to hold up the others.
    parked: Vec<Ended>,
    unrecorded: u64,
}

impl Finisher {
    /// After `closing` it takes no more outcomes; `cutoff` ends its patience with a database that
    /// does not come back.
    pub fn new(
        shared: Arc<Shared>,
        waiting: mpsc::Receiver<Ended>,
        closing: CancellationToken,
        cutoff: CancellationToken,
    ) -> Self {
        Self {
            shared,
            waiting,
            portion: Portion::new(MAX_BATCH),
            session: None,
            reconnect: Reconnect::default(),
            closing,
            cutoff,
            parked: Vec::new(),
            unrecorded: 0,
        }
    }

    /// Records until it is closed and has recorded all. Answers with how many outcomes it could not.
    pub async fn run(mut self) -> u64 {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let closing = self.closing.clone();
        let mut look_at_parked = Instant::now();
        loop {
            let taken = tokio::select! {
                biased;
                () = sleep_until(look_at_parked), if !self.parked.is_empty() => {
                    self.record_parked().await;
                    look_at_parked = Instant::now() + PARKED_FOR;
                    continue;
                }
                taken = self.waiting.recv_many(&mut batch, self.portion.most()), if self.parked.len() < MAX_PARKED => taken,
                () = closing.cancelled(), if !self.waiting.is_closed() => {
                    self.waiting.close();
                    continue;
                }
            };
            if taken == 0 {
                break;
            }
            self.record(batch.drain(..)).await;
        }
        while !self.parked.is_empty() && !self.cutoff.is_cancelled() {
            self.record_parked().await;
            sleep(PARKED_FOR / 10).await;
        }
        self.unrecorded + self.parked.len() as u64
    }

    async fn record(&mut self, ended: impl Iterator<Item = Ended>) {
        let mut groups: HashMap<u8, Vec<Ended>> = HashMap::new();
        let mut group = |ended: Ended| groups.entry(statement_of(&ended.outcome) as u8).or_default().push(ended);
        let mut in_doubt = Vec::new();
        for ended in ended {
            if ended.held.completes_in_transaction() { in_doubt.push(ended) } else { group(ended) }
        }
        if !in_doubt.is_empty() {
            self.settle(in_doubt).await.into_iter().for_each(group);
        }
        for (_, group) in groups {
            self.record_group(group).await;
        }
    }

    /// Of attempts that completed their job in a transaction of their own, gives back those whose
    /// transaction was not committed.
    async fn settle(&mut self, ended: Vec<Ended>) -> Vec<Ended> {
        let fences: Vec<_> = ended.iter().map(|ended| ended.held.fence()).collect();
        let completed = loop {
            match self.ask(async |session| finish::completed_in(session, &fences).await).await {
                Ok(completed) => break completed,
                Err(error) if !self.may_try_again(&error, ended.len()).await => return Vec::new(),
                Err(_) => {}
            }
        };
        let (done, rest): (Vec<_>, Vec<_>) = ended.into_iter().partition(|ended| completed.contains(&ended.held.id));
        for Ended { held, outcome } in done {
            if !matches!(outcome, Outcome::Completed) {
                tracing::warn!(
                    job_id = held.id,
                    kind = held.kind,
                    "the handler did not end well after its job was completed"
                );
            }
            report(&self.shared, &held, &Outcome::Completed, None);
            self.shared.held.release(&held);
        }
        let policy = &self.shared.settings.retry_policy;
        let failed = |Ended { held, outcome }| {
            let outcome = if matches!(outcome, Outcome::Completed) { uncommitted(&held, policy) } else { outcome };
            Ended { held, outcome }
        };
        rest.into_iter().map(failed).collect()
    }

    /// Records those outcomes whose jobs are not locked any more.
    async fn record_parked(&mut self) {
        let parked = std::mem::take(&mut self.parked);
        let (locked, free) = self.part_locked(parked).await;
        self.parked = locked;
        if !free.is_empty() {
            self.record(free.into_iter()).await;
        }
    }

    /// Parts outcomes whose jobs somebody has locked from the others. All count as locked where that
    /// cannot be told.
    async fn part_locked(&mut self, ended: Vec<Ended>) -> (Vec<Ended>, Vec<Ended>) {
        let ids: Vec<JobId> = ended.iter().map(|ended| ended.held.id).collect();
        match self.ask(async |session| finish::locked_jobs(session, &ids).await).await {
            Ok(locked) => ended.into_iter().partition(|ended| locked.contains(&ended.held.id)),
            Err(_) => (ended, Vec::new()),
        }
    }

    /// Records outcomes of one statement, in parts where the database refuses the whole.
    async fn record_group(&mut self, group: Vec<Ended>) {
        let mut parts = vec![group];
        while let Some(mut part) = parts.pop() {
            // In one order wherever several rows are locked together.
            part.sort_unstable_by_key(|ended| ended.held.id);
            let Err(error) = self.record_with_patience(&part).await else { continue };
            if error.is_locked_out() {
                let (locked, free) = self.part_locked(part).await;
                for ended in &locked {
                    tracing::warn!(
                        job_id = ended.held.id,
                        kind = ended.held.kind,
                        "somebody has locked a job; its outcome waits"
                    );
                }
                // Where none of them is, another table is.
                if locked.is_empty() && !self.may_try_again(&error, free.len()).await {
                    continue;
                }
                self.parked.extend(locked);
                parts.extend((!free.is_empty()).then_some(free));
            } else if part.len() > 1 {
                let rest = part.split_off(part.len() / 2);
                parts.extend([part, rest]);
            } else {
                for ended in part {
                    self.record_refused(ended, &error).await;
                }
            }
        }
    }

    /// Writes until it is written, or refused for good.
    async fn record_with_patience(&mut self, part: &[Ended]) -> Result<(), Error> {
        let (mut repeated, mut made_partitions) = (false, false);
        loop {
            let error = match self.write(part).await {
                Ok(recorded) => {
                    self.reconnect.reset();
                    self.portion.was_managed();
                    self.conclude(part, &recorded, repeated);
                    return Ok(());
                }
                Err(error) => error,
            };
            if error.sqlstate() == Some(history::NO_PARTITION) && !made_partitions {
                self.make_partitions().await;
                made_partitions = true;
                continue;
            }
            if error.is_cut_short() && part.len() > 1 && !repeated {
                self.portion.was_too_much(part.len());
                return Err(error);
            }
            if !error.is_passing() || (error.is_locked_out() && !repeated) {
                return Err(error);
            }
            // A lost answer may hide a success: what is then missing was recorded, not refused.
            repeated |= error.leaves_doubt();
            if !self.may_try_again(&error, part.len()).await {
                return Ok(());
            }
        }
    }

    /// Waits before outcomes are tried again. Not where the shutdown is over.
    async fn may_try_again(&mut self, error: &Error, outcomes: usize) -> bool {
        self.session = None;
        tracing::warn!(%error, outcomes, "outcomes not recorded; trying again");
        tokio::select! {
            () = self.cutoff.cancelled() => {
                tracing::error!(%error, outcomes, "outcomes could not be recorded before the shutdown ended");
                self.unrecorded += outcomes as u64;
                false
            }
            () = sleep(self.reconnect.next_delay()) => true,
        }
    }

    /// The last resorts for an outcome that the database will not take: without its text, then
    /// as a failed attempt, so that the job comes back after the policy's delay.
    async fn record_refused(&mut self, ended: Ended, error: &Error) {
        let Ended { held, outcome } = ended;
        tracing::error!(job_id = held.id, kind = held.kind, %error, "the database refuses an outcome");
        let plain = Ended { held: Arc::clone(&held), outcome: without_text(outcome) };
        if self.record_with_patience(&[plain]).await.is_ok() {
            return;
        }
        let failed = Outcome::Failed {
            by: FailedBy::Error,
            failure: Failure {
                error: storable(&format!("the database refuses the outcome: {error}"), MAX_ERROR_BYTES),
                trace: None,
            },
            delay: self.shared.settings.retry_policy.delay(|_| None, u32::try_from(held.attempt).unwrap_or(1)),
        };
        if let Err(error) = self.record_with_patience(&[Ended { held: Arc::clone(&held), outcome: failed }]).await {
            tracing::error!(job_id = held.id, kind = held.kind, %error, "a job can neither be finished nor put back");
            self.unrecorded += 1;
            self.shared.held.release(&held);
        }
    }

    async fn write(&mut self, part: &[Ended]) -> Result<Recorded, Error> {
        let shared = Arc::clone(&self.shared);
        self.ask(async |session| record::write(&shared, session, part).await).await
    }

    /// Runs a statement on the session, which is kept unless that fails.
    async fn ask<T>(&mut self, statement: impl AsyncFnOnce(&Session) -> Result<T, Error>) -> Result<T, Error> {
        let session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            _ => within(WRITE_TIMEOUT, finish::open_session(&self.shared.database, self.shared.is_direct())).await?,
        };
        let answer = within(WRITE_TIMEOUT, statement(&session)).await?;
        self.session = Some(session);
        Ok(answer)
    }

    /// Makes the history's partitions that outcomes of now need.
    async fn make_partitions(&self) {
        let retention = &self.shared.settings.retention;
        for seconds in [retention.completed_seconds(), retention.cancelled_seconds(), retention.discarded_seconds()] {
            let made = async {
                let client = self.shared.database.client().await?;
                history::make_partition_for(&**client, seconds).await
            };
            if let Err(error) = within(WRITE_TIMEOUT, made).await {
                tracing::warn!(%error, "history partition not made");
            }
        }
    }

    /// Reports each outcome and forgets its job.
    fn conclude(&self, part: &[Ended], recorded: &Recorded, repeated: bool) {
        for Ended { held, outcome } in part {
            match recorded.get(&held.id) {
                Some(next_run_at) => report(&self.shared, held, outcome, *next_run_at),
                None if repeated => report(&self.shared, held, outcome, None),
                // Its transaction was still to be committed when it was looked at.
                None if held.completes_in_transaction() => report(&self.shared, held, &Outcome::Completed, None),
                None if matches!(outcome, Outcome::GivenBack { .. }) => {
                    tracing::info!(
                        job_id = held.id,
                        kind = held.kind,
                        "a job to be given back is another worker's already"
                    );
                }
                None => {
                    self.shared.metrics.stale.increment();
                    tracing::warn!(
                        job_id = held.id,
                        kind = held.kind,
                        attempt = held.attempt,
                        "stale attempt: the job was given to another; its outcome is refused"
                    );
                }
            }
            self.shared.held.release(held);
        }
    }
}

fn without_text(outcome: Outcome) -> Outcome {
    let plain = || Failure { error: "the error's text could not be stored".to_owned(), trace: None };
    match outcome {
        Outcome::Failed { by, delay, .. } => Outcome::Failed { by, failure: plain(), delay },
        Outcome::Discarded { by, .. } => Outcome::Discarded { by, failure: plain() },
        Outcome::Cancelled { reason } => Outcome::Cancelled { reason: reason.map(|_| plain()) },
        other => other,
    }
}
