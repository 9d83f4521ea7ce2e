//! Recording outcomes, in batches that form by themselves: while one is being written, the next
//! gathers. An idle worker writes a single outcome at once.
//!
//! Promises: each outcome is written only if its fence still holds; a passing fault of the
//! database is retried for as long as the worker lives; one outcome that the database will not
//! take is singled out, and the others go through.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::held::Held;
use super::outcome::{Ended, FailedBy, Outcome};
use super::shared::Shared;
use super::text::{MAX_ERROR_BYTES, storable};
use crate::Error;
use crate::database::{Reconnect, within};
use crate::job::JobId;
use crate::store::finish::{self, Failure, Finished, Retried};
use crate::store::history;
use crate::store::session::Session;

/// The most outcomes in one statement.
const MAX_BATCH: usize = 1_000;
/// The most outcomes that wait; beyond that, attempts keep their slots.
pub(super) const MAX_WAITING: usize = 2_000;
/// The server gives a statement up after 10 s.
const WRITE_TIMEOUT: Duration = Duration::from_secs(12);

pub(super) struct Finisher {
    shared: Arc<Shared>,
    waiting: mpsc::Receiver<Ended>,
    session: Option<Session>,
    reconnect: Reconnect,
    closing: CancellationToken,
    cutoff: CancellationToken,
    unrecorded: u64,
}

/// The statement that records an outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Statement {
    Finish,
    Retry,
    Snooze,
    GiveBack,
}

/// The ids whose fence held, with the due time of those that will run again.
type Recorded = HashMap<JobId, Option<DateTime<Utc>>>;

impl Finisher {
    /// After `closing` it takes no more outcomes; `cutoff` ends its patience with a database that
    /// does not come back.
    pub fn new(
        shared: Arc<Shared>,
        waiting: mpsc::Receiver<Ended>,
        closing: CancellationToken,
        cutoff: CancellationToken,
    ) -> Self {
        Self { shared, waiting, session: None, reconnect: Reconnect::default(), closing, cutoff, unrecorded: 0 }
    }

    /// Records until it is closed and has recorded all. Answers with how many outcomes it could not.
    pub async fn run(mut self) -> u64 {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let closing = self.closing.clone();
        loop {
            let taken = tokio::select! {
                biased;
                taken = self.waiting.recv_many(&mut batch, MAX_BATCH) => taken,
                () = closing.cancelled(), if !self.waiting.is_closed() => {
                    self.waiting.close();
                    continue;
                }
            };
            if taken == 0 {
                break;
            }
            let mut groups: HashMap<u8, Vec<Ended>> = HashMap::new();
            for ended in batch.drain(..) {
                groups.entry(statement_of(&ended.outcome) as u8).or_default().push(ended);
            }
            for (_, group) in groups {
                self.record_group(group).await;
            }
        }
        self.unrecorded
    }

    /// Records outcomes of one statement, in parts where the database refuses the whole.
    async fn record_group(&mut self, group: Vec<Ended>) {
        let mut parts = vec![group];
        while let Some(mut part) = parts.pop() {
            // In one order wherever several rows are locked together.
            part.sort_unstable_by_key(|ended| ended.held.id);
            let Err(error) = self.record_with_patience(&part).await else { continue };
            if part.len() > 1 {
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
            if !error.is_passing() {
                return Err(error);
            }
            self.session = None;
            // A lost answer may hide a success: what is then missing was recorded, not refused.
            repeated |= error.leaves_doubt();
            tracing::warn!(%error, outcomes = part.len(), "outcomes not recorded; trying again");
            tokio::select! {
                () = self.cutoff.cancelled() => {
                    tracing::error!(%error, outcomes = part.len(), "outcomes could not be recorded before the shutdown ended");
                    self.unrecorded += part.len() as u64;
                    return Ok(());
                }
                () = tokio::time::sleep(self.reconnect.next_delay()) => {}
            }
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
        let session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            _ => within(WRITE_TIMEOUT, finish::open_session(&self.shared.database, self.shared.is_direct())).await?,
        };
        let recorded = within(WRITE_TIMEOUT, self.write_to(&session, part)).await?;
        self.session = Some(session);
        Ok(recorded)
    }

    async fn write_to(&self, session: &Session, part: &[Ended]) -> Result<Recorded, Error> {
        let retention = &self.shared.settings.retention;
        let Some(first) = part.first() else { return Ok(Recorded::new()) };
        match statement_of(&first.outcome) {
            Statement::Finish => {
                let jobs: Vec<Finished<'_>> = part
                    .iter()
                    .map(|ended| {
                        let (state, retention_seconds, failure) = match &ended.outcome {
                            Outcome::Discarded { failure, .. } => {
                                ("discarded", retention.discarded_seconds(), Some(failure))
                            }
                            Outcome::Cancelled { reason } => {
                                ("cancelled", retention.cancelled_seconds(), reason.as_ref())
                            }
                            _ => ("completed", retention.completed_seconds(), None),
                        };
                        Finished { fence: ended.held.fence(), state, retention_seconds, failure }
                    })
                    .collect();
                Ok(finish::finish(session, &jobs).await?.into_iter().map(|id| (id, None)).collect())
            }
            Statement::Retry => {
                let jobs: Vec<Retried<'_>> = part
                    .iter()
                    .filter_map(|ended| match &ended.outcome {
                        Outcome::Failed { failure, delay, .. } => {
                            Some(Retried { fence: ended.held.fence(), delay_ms: millis(*delay), failure })
                        }
                        _ => None,
                    })
                    .collect();
                Ok(finish::retry(session, &jobs).await?.into_iter().map(|(id, at)| (id, Some(at))).collect())
            }
            Statement::Snooze => {
                let jobs: Vec<_> = part
                    .iter()
                    .filter_map(|ended| match &ended.outcome {
                        Outcome::Snoozed { delay } => Some((ended.held.fence(), millis(*delay))),
                        _ => None,
                    })
                    .collect();
                Ok(finish::snooze(session, &jobs).await?.into_iter().map(|(id, at)| (id, Some(at))).collect())
            }
            Statement::GiveBack => {
                let jobs: Vec<_> = part.iter().map(|ended| ended.held.fence()).collect();
                Ok(finish::give_back(session, &jobs).await?.into_iter().map(|id| (id, None)).collect())
            }
        }
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
                Some(next_run_at) => self.report(held, outcome, *next_run_at),
                None if repeated => self.report(held, outcome, None),
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

    fn report(&self, held: &Held, outcome: &Outcome, next_run_at: Option<DateTime<Utc>>) {
        let metrics = &self.shared.metrics;
        match outcome {
            Outcome::Completed => {
                metrics.completed.increment();
                tracing::debug!(job_id = held.id, kind = held.kind, attempt = held.attempt, "job completed");
            }
            Outcome::Failed { by, failure, .. } => {
                self.report_failure(held, *by, failure, next_run_at);
                self.wake_at(next_run_at);
            }
            Outcome::Discarded { by, failure } => {
                self.report_failure(held, *by, failure, None);
                metrics.discarded.increment();
                tracing::error!(
                    job_id = held.id,
                    kind = held.kind,
                    attempt = held.attempt,
                    max_attempts = held.max_attempts,
                    error = failure.error,
                    "job discarded"
                );
            }
            Outcome::Cancelled { reason } => {
                metrics.cancelled.increment();
                tracing::info!(
                    job_id = held.id,
                    kind = held.kind,
                    attempt = held.attempt,
                    reason = reason.as_ref().map(|reason| reason.error.as_str()),
                    "job cancelled"
                );
            }
            Outcome::Snoozed { .. } => {
                metrics.snoozed.increment();
                self.wake_at(next_run_at);
            }
            Outcome::GivenBack => {
                metrics.given_back.increment();
                tracing::info!(job_id = held.id, kind = held.kind, attempt = held.attempt, "job given back");
            }
        }
    }

    fn report_failure(&self, held: &Held, by: FailedBy, failure: &Failure, next_run_at: Option<DateTime<Utc>>) {
        self.shared.metrics.failed.increment();
        let next_run_at = next_run_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true));
        let (id, kind, attempt, max_attempts) = (held.id, held.kind, held.attempt, held.max_attempts);
        if by == FailedBy::Panic {
            self.shared.metrics.panicked.increment();
            tracing::error!(
                job_id = id,
                kind,
                attempt,
                max_attempts,
                error = failure.error,
                next_run_at,
                trace = failure.trace,
                "job panicked"
            );
        } else {
            tracing::warn!(job_id = id, kind, attempt, max_attempts, error = failure.error, next_run_at, "job failed");
        }
    }

    /// The fetcher of this worker claims the job again at its time, without a poll.
    fn wake_at(&self, next_run_at: Option<DateTime<Utc>>) {
        if let Some(at) = next_run_at {
            self.shared.wake.due_at(at.timestamp_millis() + 1);
        }
    }
}

fn statement_of(outcome: &Outcome) -> Statement {
    match outcome {
        Outcome::Completed | Outcome::Discarded { .. } | Outcome::Cancelled { .. } => Statement::Finish,
        Outcome::Failed { .. } => Statement::Retry,
        Outcome::Snoozed { .. } => Statement::Snooze,
        Outcome::GivenBack => Statement::GiveBack,
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

fn millis(delay: Duration) -> i64 {
    // Delays are limited to years where they are made.
    i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
}
